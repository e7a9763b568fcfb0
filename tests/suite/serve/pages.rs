//! What pages and documents say.

use serde_json::json;

use super::*;
use crate::json::shapes::{misfit, schemas};
use crate::support::long_tests;

/// Where links of a page lead.
fn links(page: &str) -> Vec<String> {
    let parts = page.split("href=\"").skip(1);
    parts.map(|rest| rest.split_once('"').unwrap().0.replace("&amp;", "&")).collect()
}

#[test]
fn every_page_leads_on_and_none_has_markup_of_others() {
    let scene = scene("archive");
    let served = scene.serve();
    let (mut seen, mut left) = (vec!["/".to_owned()], vec!["/".to_owned()]);
    while let Some(link) = left.pop() {
        let reply = served.get(&link);
        assert_eq!(reply.status, 200, "{link}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        if reply.header("content-type") != Some("text/html; charset=utf-8") {
            continue;
        }
        let page = reply.text();
        assert!(!page.contains("<script"), "{link}: {page}");
        assert!(!page.contains("<i>of"), "{link}: {page}");
        assert!(!page.contains("style="), "{link}: {page}");
        for link in links(page) {
            let is_inside = link.starts_with('/') && !seen.contains(&link);
            if is_inside && link != "/summary" {
                seen.push(link.clone());
                left.push(link);
            }
        }
    }
    // The odd name is there, and what is below it was reached.
    let odd = "/%3Cscript%3Ealert%281%29%3C/q%22u%27o%26t%0Ae%E2%80%AE";
    for kind in ["file", "raw"] {
        let link = format!("/-/{kind}/{}{odd}", scene.commits[1]);
        assert!(seen.contains(&link), "{link} {seen:#?}");
    }
    assert!(seen.len() > 25, "{seen:#?}");
}

#[test]
fn pages_show_commits_trees_files_and_comparisons() {
    let scene = scene("bare-user-only");
    let served = scene.serve();
    let [first, second] = &scene.commits[..] else { panic!() };
    let refs = served.page("/");
    assert!(refs.contains(&format!("href=\"/-/commit/{second}\"")), "{refs}");
    assert!(refs.contains(">exampleos/x86_64/main</a>"), "{refs}");
    assert!(refs.contains("2020-01-02 03:04</time>"), "{refs}");
    let commit = served.page("/-/commit/exampleos/x86_64/main");
    let subject = "&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &quot;&amp;amp;";
    for text in [subject, "Body &lt;i&gt;of&lt;/i&gt; it", ">1&lt;2</span>", first, "not signed"] {
        assert!(commit.contains(text), "{text}: {commit}");
    }
    assert_eq!(commit, served.page(&format!("/-/commit/{second}")));
    let tree = served.page("/-/tree/exampleos/x86_64/main/usr/bin");
    assert_eq!(tree, served.page("/-/tree/exampleos%2Fx86_64%2Fmain/usr/bin"));
    assert!(
        tree.contains("<span title=\"10 bytes\">10\u{a0}bytes</span>")
            || tree.contains("<span title=\"10 bytes\">10 bytes</span>"),
        "{tree}"
    );
    let root = served.page(&format!("/-/tree/{first}"));
    assert!(root.contains("&lt;script&gt;alert(1)&lt;/</a>"), "{root}");
    assert!(root.contains(">bin</a><span class=\"faint\"> → usr/bin</span>"), "{root}");
    let odd = served.page(&format!("/-/tree/{first}/%3Cscript%3Ealert%281%29%3C"));
    assert!(odd.contains(">q&quot;u&#39;o&amp;t\u{240a}e\\u{202e}</a>"), "{odd}");
    let file = served.page(&format!("/-/file/{first}/usr/bin/hello"));
    assert!(file.contains("echo &#39;&lt;b&gt;Hello&lt;/b&gt;&#39;\n"), "{file}");
    assert!(served.page(&format!("/-/file/{first}/binary")).contains("This file is not text."));
    let large = served.page(&format!("/-/file/{first}/large.txt"));
    assert!(large.contains("are shown.") && large.len() < 140_000, "{}", large.len());
    let diff = served.page(&format!("/-/diff/{first}/{second}"));
    assert!(diff.contains("1 modified, 1 removed, 1 added"), "{diff}");
    let form = served.get("/-/diff?from=exampleos/x86_64/main%5E&to=exampleos/x86_64/main");
    let target = format!("/-/diff/{first}/{second}");
    assert_eq!((form.status, form.header("location")), (303, Some(&target[..])));
}

#[test]
fn documents_have_the_shape_that_the_documentation_gives() {
    let scene = scene("archive");
    let served = scene.serve();
    let [first, second] = &scene.commits[..] else { panic!() };
    let schemas = schemas();
    let document = |name: &str, path: &str| {
        let found = served.document(path);
        assert_eq!(misfit(&schemas, &schemas[name], &found), None, "{found}");
        found
    };
    let refs = document("serve refs", "/");
    assert_eq!(refs["refs"][0]["commit"], json!(second));
    assert_eq!(refs["refs"][0]["subject"], json!(SUBJECT));
    assert_eq!(refs["pages"], json!({"page": 1, "pages": 1, "total": 1}));
    let commit = document("serve commit", "/-/commit/exampleos/x86_64/main");
    assert_eq!(commit["refs"], json!(["exampleos/x86_64/main"]));
    assert_eq!(commit["history"][0]["commit"], json!(first));
    assert_eq!(commit["metadata"]["version"], json!({"type": "s", "value": "1<2"}));
    let tree = document("serve directory", &format!("/-/tree/{second}"));
    let names: Vec<&str> =
        tree["entries"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, [SCRIPT, "usr", "bin", "large.txt", "new", "noise", "page.html"]);
    assert_eq!(tree["entries"][2]["target"], json!("usr/bin"));
    assert_eq!(tree["entries"][4]["size"], json!(4));
    let file = document("serve file", &format!("/-/tree/{second}/usr/bin/hello"));
    assert_eq!((&file["text"], &file["size"]), (&json!("#!/bin/sh\n"), &json!(10)));
    document("serve file", &format!("/-/file/{second}/bin"));
    assert_eq!(document("serve file", &format!("/-/file/{first}/binary"))["text"], Value::Null);
    let regular = |size: u64| json!({"type": "regular", "size": size});
    let diff = document("serve diff", &format!("/-/diff/{first}/{second}"));
    assert_eq!(
        diff["changes"],
        json!([
            {"change": "removed", "path": "/binary", "from": regular(4), "to": null},
            {"change": "added", "path": "/new", "from": null, "to": regular(4)},
            {"change": "modified", "path": "/usr/bin/hello",
             "from": regular(30), "to": regular(10)},
        ])
    );
    let search = document("serve search", &format!("/-/search/{second}?path=HELLO"));
    assert_eq!(search["hits"], json!([{"path": "/usr/bin/hello", "type": "file"}]));
    assert_eq!(search["next"], Value::Null);
    let error = served.get("/-/commit/nothing?format=json");
    let text: Value = serde_json::from_slice(&error.body).unwrap();
    assert_eq!(text, json!({"status": 404, "error": "Refspec 'nothing' not found"}));
    assert_eq!(misfit(&schemas, &schemas["serve error"], &text), None);
}

#[test]
fn signatures_are_verified_with_the_keys_of_the_machine() {
    let scene = scene("archive");
    let base = scene.directory.path().join("key");
    let run = |arguments: &[&str]| scene.program.repo(&scene.repo(), arguments).success();
    run(&["sign", "--generate-key", "--out", base.to_str().unwrap()]);
    let key = |end: &str| fs::read_to_string(base.with_extension(end)).unwrap().trim().to_owned();
    run(&["sign", &scene.commits[1], &key("sec")]);
    let keys = scene.directory.path().join("keys");
    fs::create_dir(&keys).unwrap();
    let link = "/-/commit/exampleos/x86_64/main";
    let options = ServeOptions { key_directories: vec![keys.clone()], ..ServeOptions::default() };
    let served = serve_with(&scene.repo(), &options);
    let unknown = json!([{
        "type": "ed25519", "is_valid": null, "text": "not verified: there are no keys for it here",
    }]);
    assert_eq!(served.document(link)["signatures"], unknown);
    fs::write(keys.join("trusted.ed25519"), format!("{}\n", key("pub"))).unwrap();
    let found = &served.document(link)["signatures"][0];
    assert_eq!(found["is_valid"], true);
    let text = found["text"].as_str().unwrap();
    assert!(text.starts_with("ed25519: Signature verified successfully with key '"), "{text}");
    assert!(served.page(link).contains("<strong class=\"good\">valid</strong>"));
    // Another key.
    let other = scene.directory.path().join("other");
    run(&["sign", "--generate-key", "--out", other.to_str().unwrap()]);
    fs::copy(other.with_extension("pub"), keys.join("trusted.ed25519")).unwrap();
    assert_eq!(served.document(link)["signatures"][0]["is_valid"], false);
    assert!(served.page(link).contains("<strong class=\"bad\">not valid</strong>"));
}

#[test]
fn raw_content_is_never_a_page() {
    for mode in ["archive", "bare-user-only"] {
        let scene = scene(mode);
        let served = scene.serve();
        let path = format!("/-/raw/{}/page.html", scene.commits[0]);
        let raw = served.get(&path);
        assert_eq!(raw.text(), "<script>alert(2)</script>");
        assert_eq!(raw.header("content-type"), Some("application/octet-stream"));
        assert_eq!(raw.header("content-length"), Some("25"));
        let disposition = "attachment; filename*=UTF-8''page.html";
        assert_eq!(raw.header("content-disposition"), Some(disposition));
        let plain = served.get(&format!("{path}?as=text"));
        assert_eq!(plain.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));
        let etag = raw.header("etag").unwrap();
        let again = served.ask("GET", &path, &format!("If-None-Match: {etag}\r\n"));
        assert_eq!((again.status, again.text()), (304, ""));
        let head = served.ask("HEAD", &path, "");
        assert_eq!(
            (head.status, head.header("content-length"), head.text()),
            (200, Some("25"), "")
        );
        for path in ["/-/raw/exampleos/x86_64/main/bin", "/-/raw/exampleos/x86_64/main/usr"] {
            assert_eq!(served.get(path).status, 404, "{path}");
        }
        let large = served.get("/-/raw/exampleos/x86_64/main/large.txt");
        assert_eq!(large.text(), "0123456789abcdé\n".repeat(20_000));
    }
}

/// A directory of `count` files.
fn wide(count: usize) -> Scene {
    let mut scene = scene("bare-user-only");
    let tree = scene.directory.path().join("wide");
    fs::create_dir_all(tree.join("dir")).unwrap();
    fs::write(tree.join("dir/file000000"), "").unwrap();
    for number in 0..count {
        fs::hard_link(tree.join("dir/file000000"), tree.join(format!("file{number:06}"))).unwrap();
    }
    let arguments = ["commit", "-b", "wide", "--timestamp=@1", tree.to_str().unwrap()];
    let commit = scene.program.repo(&scene.repo(), arguments).line();
    scene.commits.push(commit);
    scene
}

#[test]
fn a_wide_tree_comes_in_pages() {
    let count = if long_tests() { 100_000 } else { 1_200 };
    let scene = wide(count);
    let served = scene.serve();
    let pages = (count + 1).div_ceil(500);
    let mut names = Vec::new();
    for page in 1..=pages {
        let found = served.document(&format!("/-/tree/wide?page={page}"));
        assert_eq!(found["pages"], json!({"page": page, "pages": pages, "total": count + 1}));
        let entries = found["entries"].as_array().unwrap().clone();
        names.extend(entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()));
    }
    let expected = (0..count).map(|number| format!("file{number:06}"));
    assert_eq!(names, std::iter::once("dir".to_owned()).chain(expected).collect::<Vec<_>>());
    let page = served.page("/-/tree/wide?page=2");
    assert!(page.contains("?page=1\" rel=\"prev\""), "{page}");
    assert!(page.contains(&format!("Page 2 of {pages}, {} in all", count + 1)), "{page}");
    assert_eq!(served.get(&format!("/-/tree/wide?page={}", pages + 1)).status, 404);
    assert_eq!(served.get("/-/tree/wide?page=0").status, 400);
    // A search goes on where it stopped.
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let page = served.document(&format!("/-/search/wide?path=file*&after={after}"));
        let hits = page["hits"].as_array().unwrap().clone();
        found.extend(hits.iter().map(|hit| hit["path"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found.len(), count + 1);
    assert_eq!(found.last().unwrap(), "/dir/file000000");
    assert_eq!(served.get("/-/search/wide?path=x&after=/nothing").status, 404);
}
