//! Man pages: what stands behind the options, and whether the examples work.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Program, has_programs, osier, osier_path, scratch, search_path_after};

/// Sections of every page, in their order.
const SECTIONS: [&str; 9] = [
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "EXIT STATUS",
    "ENVIRONMENT",
    "FILES",
    "EXAMPLES",
    "SEE ALSO",
];

/// Pages with examples that need more than a repository: packages, a network,
/// keys, deltas, minutes of time, or that run until they get a signal.
const NOT_RUN: [&str; 8] = [
    "osier-bench",
    "osier-compose",
    "osier-remote-gpg-import",
    "osier-serve",
    "osier-static-delta-apply-offline",
    "osier-static-delta-delete",
    "osier-static-delta-show",
    "osier-static-delta-verify",
];

fn pages(directory: &Path) -> Vec<(String, String)> {
    let man = directory.join("man1");
    Program::other(osier_path(), "osier").run(["man".as_ref(), man.as_os_str()]).success();
    let mut pages: Vec<(String, String)> = fs::read_dir(&man)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    pages.sort();
    pages
}

/// What a roff line shows.
fn plain(line: &str) -> String {
    let replacements =
        [("\\-", "-"), ("\\(aq", "'"), ("\\(ga", "`"), ("\\(ti", "~"), ("\\(ha", "^"), ("\\&", "")];
    let line =
        replacements.iter().fold(line.to_owned(), |line, (roff, text)| line.replace(roff, text));
    line.replace("\\e", "\\")
}

/// The command lines of a page's examples.
fn examples(page: &str) -> Vec<String> {
    let (_, examples) = page.split_once(".SH EXAMPLES\n").unwrap();
    let (examples, _) = examples.split_once(".SH ").unwrap();
    let blocks = examples.split(".nf\n").skip(1);
    blocks.map(|block| plain(block.split_once(".fi\n").unwrap().0)).collect()
}

#[test]
fn every_man_page_has_all_sections() {
    let directory = scratch();
    let pages = pages(directory.path());
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    for (name, page) in &pages {
        let headings: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let headings: Vec<&str> =
            headings.iter().map(|heading| heading.trim_matches('"')).collect();
        let found: Vec<&str> =
            SECTIONS.iter().copied().filter(|section| headings.contains(section)).collect();
        assert_eq!(found, SECTIONS, "{name}: {headings:?}");
        assert!(!examples(page).is_empty(), "{name}");
        let (_, related) = page.split_once(".SH SEE ALSO\n").unwrap();
        for related in plain(related.trim_end()).split(", ") {
            let related = related.trim_start_matches("\\fB").trim_end_matches("\\fR(1)");
            assert!(related == "ostree" || names.contains(&related), "{name}: {related}");
        }
    }
}

#[test]
fn the_examples_of_man_pages_work() {
    if !has_programs(&["bash", "man"]) {
        return;
    }
    let directory = scratch();
    for (name, page) in pages(directory.path()) {
        if NOT_RUN.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let place = directory.path().join(&name);
        fs::create_dir_all(place.join("rootfs/etc")).unwrap();
        fs::create_dir_all(place.join("bin")).unwrap();
        fs::write(place.join("rootfs/etc/os-release"), "NAME=Example\n").unwrap();
        symlink(osier_path(), place.join("bin/osier")).unwrap();
        let osier = osier().in_directory(&place);
        osier.run(["init", "--repo=repo", "--mode=archive"]).success();
        osier.run(["init", "--repo=mirror", "--mode=archive"]).success();
        osier.run(["init", "--repo=server", "--mode=archive"]).success();
        let server = format!("file://{}/server", place.display());
        for repo in ["--repo=repo", "--repo=mirror"] {
            let call = ["remote", "add", "--no-gpg-verify", repo, "origin", &server];
            osier.run(call).success();
        }
        let cookie = ["origin", "content.example.org", "/", "token", "0123abcd"];
        osier.run(["remote", "add-cookie", "--repo=repo"].iter().chain(&cookie)).success();
        for version in ["22.1", "22.2"] {
            let subject = format!("Compose {version}");
            for repo in ["--repo=repo", "--repo=server"] {
                let branch = "--branch=exampleos/22/x86_64/host";
                let call = ["commit", repo, branch, "-s", &subject, "rootfs", "--no-xattrs"];
                osier.run(call).success();
            }
        }
        for repo in ["--repo=repo", "--repo=server"] {
            osier.run(["summary", repo, "-u"]).success();
        }
        let path = search_path_after(&place.join("bin"));
        let bash = Program::other("bash", "bash")
            .in_directory(&place)
            .with("PATH", path)
            .with("HOME", &place);
        for example in examples(&page) {
            // Only root compares with a program of the machine.
            if example.contains("/srv/") {
                continue;
            }
            let output = bash.run(["-e", "-o", "pipefail", "-c", &example]);
            assert_eq!(
                (output.status, output.stderr.as_slice()),
                (0, &b""[..]),
                "{name}: {example}{output:?}"
            );
        }
    }
}
