//! `metalink`: what it writes leads clients to the mirrors, osier and the real program.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::json::shapes::{misfit, schemas};
use crate::support::{Program, Server, Then, answer, osier_path, ostree, scratch};

/// By its own name: `ostree` has no such command.
fn osier() -> Program {
    Program::other(osier_path(), "osier")
}

/// An archive with a ref and a summary.
fn published(directory: &Path) -> std::path::PathBuf {
    let repo = directory.join("published");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let tree = directory.join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    osier().repo(&repo, ["commit", "-b", "main", "--no-xattrs", tree.to_str().unwrap()]).success();
    osier().repo(&repo, ["summary", "-u"]).success();
    repo
}

/// Serves a directory, and notes what was asked for.
fn serve(directory: &Path) -> (Server, Arc<Mutex<Vec<String>>>) {
    let (root, asked_for) = (directory.to_owned(), Arc::new(Mutex::new(Vec::new())));
    let list = Arc::clone(&asked_for);
    let server = Server::answering(move |asked, stream| {
        list.lock().unwrap().push(asked.path.clone());
        let path = asked.path.split('?').next().unwrap_or_default().replace("%26", "&");
        let _ = match fs::read(root.join(path.trim_start_matches('/'))) {
            Ok(body) => stream.write_all(&answer("200 OK", &[], &body)),
            Err(_) => stream.write_all(&answer("404 Not Found", &[], b"")),
        };
        Then::Keep
    });
    (server, asked_for)
}

fn pull(program: &Program, directory: &Path, name: &str, metalink: &str) -> Result<String, String> {
    let repo = directory.join(name);
    program.run(["init", "--mode=archive", &format!("--repo={}", repo.display())]).success();
    let remote = ["remote", "add", "origin", "--no-gpg-verify", &format!("metalink={metalink}")];
    program.repo(&repo, remote).success();
    let output = program.repo(&repo, ["pull", "origin", "main"]);
    match output.status {
        0 => Ok(program.repo(&repo, ["rev-parse", "origin:main"]).line()),
        _ => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[test]
fn clients_pull_from_the_mirrors_of_a_metalink_and_refuse_another_summary() {
    let directory = scratch();
    let repo = published(directory.path());
    // What has to be escaped is in the URL.
    fs::rename(&repo, directory.path().join("o&s")).unwrap();
    let repo = directory.path().join("o&s");
    let (server, asked_for) = serve(directory.path());
    let file = directory.path().join("metalink.xml");
    let write = || {
        let mirrors = ["http://127.0.0.1:1/gone US 100".to_owned(), format!("{}/o&s", server.url)];
        let [gone, good] = mirrors.map(|mirror| format!("--mirror={mirror}"));
        let output = format!("--output={}", file.display());
        let text = osier().repo(&repo, ["metalink", &gone, &good, &output]).success();
        assert_eq!(text, "");
    };
    write();
    let metalink = format!("{}/metalink.xml", server.url);
    let commit = osier().repo(&repo, ["rev-parse", "main"]).line();
    let programs: Vec<Program> = [Some(osier()), ostree()].into_iter().flatten().collect();
    for program in &programs {
        let name = format!("pulled-by-{}", program.name);
        assert_eq!(pull(program, directory.path(), &name, &metalink).unwrap(), commit);
    }
    assert!(asked_for.lock().unwrap().iter().any(|path| path.contains("/objects/")));

    // The summary is a newer one than the metalink knows.
    let tree = directory.path().join("tree");
    fs::write(tree.join("file"), "other").unwrap();
    osier().repo(&repo, ["commit", "-b", "main", "--no-xattrs", tree.to_str().unwrap()]).success();
    osier().repo(&repo, ["commit", "-b", "more", "--no-xattrs", tree.to_str().unwrap()]).success();
    osier().repo(&repo, ["summary", "-u"]).success();
    for program in &programs {
        let name = format!("refused-by-{}", program.name);
        let error = pull(program, directory.path(), &name, &metalink).unwrap_err();
        let is_size =
            ["Expected size is ", "exceeded maximum size"].map(|what| error.contains(what));
        assert!(is_size.contains(&true), "{error}");
    }
    write();
    assert!(pull(&programs[0], directory.path(), "again", &metalink).is_ok());
}

#[test]
fn mirrors_come_from_options_and_files_and_the_document_fits_its_schema() {
    let directory = scratch();
    let repo = published(directory.path());
    let (list, output) = (directory.path().join("list"), directory.path().join("out.xml"));
    fs::write(&list, "# mirrors\n\nhttps://c.example/os fr 100\n  http://d.example/os/ - 7\n")
        .unwrap();
    let list = format!("--mirrors={}", list.display());
    let to = format!("--output={}", output.display());
    let mirrors = ["metalink", "--mirror=http://a.example/os", "--mirror=http://b.example", &list];
    let run = |more: &[&str]| osier().repo(&repo, [&mirrors[..], more].concat()).success();
    let document: Value = serde_json::from_str(&run(&["--json", "--dry-run", &to])).unwrap();
    assert!(!output.exists());
    let schemas = schemas();
    assert_eq!(misfit(&schemas, &schemas["metalink"], &document), None);
    let summary = fs::read(repo.join("summary")).unwrap();
    assert_eq!(document["size"], summary.len());
    assert_eq!(document["sha256"], osier::Checksum::of(&summary).to_hex());
    let urls: Vec<String> = document["mirrors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mirror| format!("{} {} {}", mirror["url"], mirror["location"], mirror["preference"]))
        .collect();
    let expected = [
        "\"http://a.example/os/summary\" \"ZZ\" 100",
        "\"https://c.example/os/summary\" \"FR\" 100",
        "\"http://b.example/summary\" \"ZZ\" 99",
        "\"http://d.example/os/summary\" \"ZZ\" 7",
    ];
    assert_eq!(urls, expected);
    let text = run(&[]);
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<metalink "), "{text}");
    run(&[&to]);
    assert_eq!(fs::read_to_string(&output).unwrap(), text);

    fs::remove_file(repo.join("summary")).unwrap();
    for (arguments, message) in [
        (&["metalink"][..], "At least one --mirror must be specified"),
        (&["metalink", "--mirror=x:y"], "mirror 'x:y': clients take http and https URLs only"),
        (&["metalink", "--mirror=http://h", "x"], "Too many arguments: 'x'"),
    ] {
        assert_eq!(osier().repo(&repo, arguments).failure(), message);
    }
    let message = osier().repo(&repo, ["metalink", "--mirror=http://h"]).failure();
    assert!(message.contains("summary"), "{message}");
}
