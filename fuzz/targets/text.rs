//! Texts: configuration, names of refs, dates, and the files that tell commit what to record.

use std::cell::LazyCell;
use std::path::{Component, Path};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use osier::Checksum;
use osier::date;
use osier::gvariant::Dict;
use osier::keyfile::{self, KeyFile};
use osier::labels::Policy;
use osier::object::{Commit, ObjectType};
use osier::progress::Silent;
use osier::refspec::{CollectionId, RefName, Refspec, RemoteName};
use osier::repo::{Repo, RepoMode, Transaction};
use osier::source::{Filter, Modifier, Ownership, SkipList, StatOverride};
use tempfile::TempDir;

/// A `config`, or a file of `remotes.d`: parsed, edited, written, and parsed again.
pub fn config(data: &[u8]) {
    let Ok(file) = keyfile::text_of(data).and_then(KeyFile::parse) else { return };
    let written = check_written(&file);
    let groups: Vec<&str> = file.groups().collect();
    let mut texts = vec![written];
    for group in groups.iter().take(8) {
        for key in file.keys(group).take(8) {
            let _ = file.get_bool(group, key);
            if let Ok(Some(list)) = file.get_list(group, key) {
                let mut edited = file.clone();
                edited.set_list("list", "members", &list).expect("the names are legal");
                assert_eq!(edited.get_list("list", "members"), Ok(Some(list)));
                check_written(&edited);
            }
            texts.extend(file.require(group, key));
        }
    }
    let names = groups.iter().flat_map(|group| file.keys(group).map(|key| (*group, key)));
    for ((group, key), text) in names.chain([("new", "key")]).zip(texts.iter().cycle()).take(16) {
        let mut edited = file.clone();
        edited.set_string(group, key, text).expect("the names come from a file");
        assert_eq!(edited.get(group, key).as_ref(), Ok(&Some(text.clone())));
        if key != "Encoding" {
            let read = KeyFile::parse(&check_written(&edited)).expect("it was written");
            assert_eq!(read.get(group, key).as_ref(), Ok(&Some(text.clone())), "{group} {key}");
        }
        assert!(edited.remove(group, key) && edited.has_group(group));
        assert!(edited.remove_group(group) && !edited.has_group(group));
    }
}

/// Writes a file, which reads as it was, and returns the text.
fn check_written(file: &KeyFile) -> String {
    let written = file.to_string();
    let read = KeyFile::parse(&written).expect("what was written is read");
    // As in GLib a carriage return at the end of a file without a line feed is kept, and lost when
    // there is one.
    if written.contains("\r\n") {
        return read.to_string();
    }
    assert_eq!(&read, file, "{written}");
    written
}

/// The name of a ref, of a collection or of a remote, and a rev.
pub fn refspec(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(name) = RefName::parse(text) {
        assert_eq!(name.to_string(), text);
        assert_stays_inside(text);
    }
    if let Ok(refspec) = Refspec::parse(text) {
        assert_eq!(refspec.to_string(), text);
        assert_stays_inside(refspec.name.as_str());
        refspec.remote.iter().for_each(|remote| assert_stays_inside(remote.as_str()));
    }
    if let Ok(name) = RemoteName::parse(text) {
        assert_eq!(name.to_string(), text);
        assert_stays_inside(text);
        assert!(!text.contains('/'));
    }
    if let Ok(id) = CollectionId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert_stays_inside(text);
    }
    REPO.with(|repo| {
        if let Ok(commit) = repo.repo.resolve_rev(text) {
            // A whole checksum is taken as it is, whether there is such a commit or not.
            assert!(
                repo.commits.contains(&commit) || text == commit.to_string(),
                "{text} is {commit}"
            );
        }
    });
}

/// A name becomes a path, which must not lead elsewhere.
fn assert_stays_inside(name: &str) {
    assert!(
        Path::new(name).components().all(|part| matches!(part, Component::Normal(_))),
        "{name}"
    );
    assert!(!name.contains("//") && !name.ends_with('/') && !name.contains('\0'), "{name}");
}

/// A repository with two commits, the second of which the refs `main` and `origin:main` point to.
struct TwoCommits {
    repo: Repo,
    commits: [Checksum; 2],
    _folder: TempDir,
}

thread_local! {
    static REPO: LazyCell<TwoCommits> = const { LazyCell::new(two_commits) };
}

fn two_commits() -> TwoCommits {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::create(&folder.path().join("repo"), RepoMode::Archive, None).unwrap();
    let mut transaction = Transaction::begin(&repo).unwrap();
    let mut parent = None;
    let commits = [1, 2].map(|timestamp| {
        let commit = Commit {
            metadata: Dict::new(),
            parent,
            related: Vec::new(),
            subject: String::new(),
            body: String::new(),
            timestamp,
            root_dirtree: Checksum::of(b""),
            root_dirmeta: Checksum::of(b""),
        };
        let commit = transaction.write_metadata(ObjectType::Commit, &commit.encode()).unwrap();
        parent = Some(commit);
        commit
    });
    for name in ["main", "origin:main"] {
        transaction.set_ref(Refspec::parse(name).unwrap(), Some(commits[1]));
    }
    transaction.commit().unwrap();
    TwoCommits { repo, commits, _folder: folder }
}

/// A date as `--timestamp` takes it. What is printed for it means the same.
pub fn date(data: &[u8]) {
    thread_local! {
        static NOW: LazyCell<Zoned> = const { LazyCell::new(|| {
            let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
            Timestamp::from_second(1_795_430_000).unwrap().to_zoned(zone)
        }) };
    }
    let Ok(text) = str::from_utf8(data) else { return };
    NOW.with(|now| {
        let Ok(seconds) = date::parse(text, now) else { return };
        for printed in [date::format_utc(seconds), date::format_iso(seconds)].into_iter().flatten()
        {
            // Years of fewer than four digits are printed as they are, and read as something else.
            if printed.as_bytes().get(4) == Some(&b'-') {
                assert_eq!(date::parse(&printed, now), Ok(seconds), "{text}: {printed}");
            }
        }
        let _ = date::format_local_summary(seconds);
    });
}

/// A statoverride file and a skip-list, and what they make of the paths that they name.
pub fn overrides(data: &[u8]) {
    let Ok(text) = keyfile::text_of(data) else { return };
    let skip_list = SkipList::parse(text);
    let statoverride = StatOverride::parse(text);
    for path in skip_list.paths() {
        assert!(text.split('\n').any(|line| line == path));
    }
    let paths: Vec<String> = match &statoverride {
        Ok(_) => {
            text.split('\n').filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
        }
        Err(_) => skip_list.paths().to_vec(),
    };
    let is_skipping = statoverride.is_err();
    let modifier = Modifier {
        statoverride: statoverride.ok(),
        skip_list: is_skipping.then_some(skip_list),
        ..Modifier::default()
    };
    let filter = Filter::new(&modifier);
    for (path, file_type) in paths.iter().zip([0o100_000, 0o040_000, 0o120_000].into_iter().cycle())
    {
        let found = Ownership { uid: 0, gid: 0, mode: file_type | 0o644 };
        if let Ok(Some(recorded)) = filter.apply(path, found) {
            assert_eq!(recorded.mode & !0o7777, file_type);
        }
    }
    if is_skipping {
        filter.check_all_used(&Silent).expect("every path of the list turned up");
    }
}

/// A `file_contexts`, and behind a NUL a `file_contexts.subs`: the labels of the paths that they
/// name.
pub fn file_contexts(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (contexts, substitutions) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("etc/selinux/fuzz");
    let files = policy.join("contexts/files");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::create_dir_all(policy.join("policy")).unwrap();
    std::fs::write(policy.join("policy/policy.33"), b"").unwrap();
    std::fs::write(
        folder.path().join("etc/selinux/config"),
        "SELINUX=enforcing\nSELINUXTYPE=fuzz\n",
    )
    .unwrap();
    // The policy must label `/`.
    std::fs::write(files.join("file_contexts"), [b"/.* any\n", contexts].concat()).unwrap();
    std::fs::write(files.join("file_contexts.subs"), substitutions).unwrap();
    let Ok(Some(policy)) = Policy::open(folder.path()) else { return };
    let text = String::from_utf8_lossy(data);
    let named = text.lines().filter_map(|line| line.split_whitespace().next());
    for path in named.take(16).chain(["/", "/usr/bin/a", "/etc/b"]) {
        for mode in [0o100_644, 0o040_755] {
            let _ = policy.label(path, mode);
        }
    }
}
