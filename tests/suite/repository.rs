//! The library's repository: reading what `ostree` wrote, transactions in every mode, refs.

use std::fs;
use std::path::Path;

use osier::checksum::Checksum;
use osier::object::{Commit, DirMeta, DirTree, FileHeader, ObjectName, ObjectType, Xattrs};
use osier::refspec::{CollectionId, RefName, Refspec};
use osier::repo::{ContentWriter, ListRefs, Repo, RepoMode, SourceFile, Transaction};

use crate::support::{self, extract_repo};

const REPOS: [&str; 7] =
    ["archive", "plain", "gpg", "bare", "bare-user", "bare-user-only", "bare-split-xattrs"];

#[test]
fn every_object_that_ostree_wrote_is_listed_and_verifies() {
    let directory = support::scratch();
    let mut count = 0;
    for name in REPOS {
        let Some(path) = extract_repo(name, directory.path()) else { continue };
        let repo = Repo::open(&path).unwrap();
        for object in repo.list_objects().unwrap() {
            count += 1;
            if object.object_type == ObjectType::File {
                repo.load_file(&object.checksum)
                    .unwrap()
                    .verify()
                    .unwrap_or_else(|error| panic!("{name}: {error:?}"));
            } else {
                let bytes = repo.load_metadata(&object).unwrap();
                assert_eq!(Checksum::of(&bytes), object.checksum, "{name}: {object}");
            }
        }
    }
    assert!(count > 400 || !support::is_root(), "{count}");
}

#[test]
fn revs_resolve_as_upstream_resolves_them() {
    let directory = support::scratch();
    let Some(path) = extract_repo("archive", directory.path()) else { return };
    let repo = Repo::open(&path).unwrap();
    let main = repo.resolve_rev("golden/x86_64/main").unwrap();
    let hex = main.to_hex();
    assert_eq!(repo.resolve_rev("golden/alias").unwrap(), main);
    assert_eq!(repo.resolve_rev(&hex[..8]).unwrap(), main);
    let parent = repo.load_commit(&main).unwrap().parent.unwrap();
    assert_eq!(repo.resolve_rev("golden/x86_64/main^").unwrap(), parent);
    assert_eq!(
        repo.resolve_rev("third/ref").unwrap(),
        repo.resolve_rev("third:third/ref").unwrap()
    );
    let error = |rev: &str| repo.resolve_rev(rev).unwrap_err().chain();
    assert_eq!(error("nothere"), "Refspec 'nothere' not found");
    assert_eq!(error(""), "Refspec  not unique");
    assert_eq!(error("a b"), "Invalid refspec a b");
    let first = repo.resolve_rev("golden/x86_64/main^^").unwrap();
    assert_eq!(error("golden/x86_64/main^^^"), format!("Commit {first} has no parent"));
}

/// A commit of one file of each kind; returns it with the file checksums.
fn write_commit(repo: &Repo, content: &[u8]) -> (Checksum, Vec<Checksum>) {
    let mut transaction = Transaction::begin(repo).unwrap();
    let owned = repo.mode() != RepoMode::BareUserOnly;
    let header = |mode: u32, target: &str| FileHeader {
        uid: u32::from(owned) * 7,
        gid: u32::from(owned) * 8,
        mode,
        symlink_target: target.to_owned(),
        xattrs: if owned {
            Xattrs::from_pairs(vec![(b"user.k".to_vec(), b"v".to_vec())]).unwrap()
        } else {
            Xattrs::new()
        },
    };
    let file = transaction.write_bytes(&header(0o100_644, ""), content).unwrap();
    let mut link = header(0o120_777, "target");
    // Linux does not let users put xattrs on symlinks.
    link.xattrs = Xattrs::new();
    let link = transaction.write_bytes(&link, b"").unwrap();
    let mut writer =
        ContentWriter::begin(&transaction, header(0o100_755, ""), content.len() as u64).unwrap();
    content.chunks(1000).for_each(|chunk| writer.write(chunk).unwrap());
    let program = writer.finish().unwrap();
    let mut files = vec![("a".to_owned(), file), ("l".to_owned(), link), ("p".to_owned(), program)];
    files.sort();
    let dirtree = DirTree { files, dirs: Vec::new() };
    let dirmeta = DirMeta { uid: 0, gid: 0, mode: 0o040_755, xattrs: Xattrs::new() };
    let commit = Commit {
        root_dirtree: transaction.write_metadata(ObjectType::DirTree, &dirtree.encode()).unwrap(),
        root_dirmeta: transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode()).unwrap(),
        metadata: Default::default(),
        parent: None,
        related: Vec::new(),
        subject: "s".to_owned(),
        body: String::new(),
        timestamp: 1,
    };
    let commit = transaction.write_metadata(ObjectType::Commit, &commit.encode()).unwrap();
    transaction.set_ref(Refspec::parse("r").unwrap(), Some(commit));
    let stats = transaction.commit().unwrap();
    assert_eq!((stats.metadata_objects_total, stats.content_objects_total), (3, 3));
    (commit, vec![file, link, program])
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

#[test]
fn what_a_transaction_writes_is_read_back_in_every_mode_and_ostree_agrees() {
    let directory = support::scratch();
    let modes = [RepoMode::Archive, RepoMode::BareUser, RepoMode::BareUserOnly, RepoMode::Bare];
    let contents =
        [b"hi\n".to_vec(), b"all work and no play\n".repeat(30_000), noise(300_000), Vec::new()];
    for (mode, content) in
        modes.iter().flat_map(|mode| contents.iter().map(move |content| (*mode, content)))
    {
        if mode == RepoMode::Bare && !support::needs_root() || !support::needs_user_xattrs() {
            continue;
        }
        let path = directory.path().join(format!("{mode}-{}", content.len()));
        let repo = Repo::create(&path, mode, None).unwrap();
        let (commit, files) = write_commit(&repo, content);
        assert_eq!(repo.resolve_rev("r").unwrap(), commit);
        for file in files {
            let object = repo.load_file(&file).unwrap();
            let expected = if object.header.is_symlink() { 0 } else { content.len() as u64 };
            assert_eq!(object.verify().unwrap(), expected);
        }
        let left: Vec<_> = fs::read_dir(path.join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["cache"], "staging is removed");
        if let Some(ostree) = support::ostree() {
            ostree.repo(&path, ["fsck"]).success();
        }
    }
}

#[test]
fn a_file_is_stored_alike_whether_it_is_expected_to_be_new_or_not() {
    let directory = support::scratch();
    let source = directory.path().join("large");
    let content = noise(700_000);
    fs::write(&source, &content).unwrap();
    let header = FileHeader {
        uid: 0,
        gid: 0,
        mode: 0o100_644,
        symlink_target: String::new(),
        xattrs: Xattrs::new(),
    };
    let write = |transaction: &Transaction<'_>, size: u64| {
        let file = fs::File::open(&source).unwrap();
        transaction
            .write_file(&header, SourceFile { file: &file, size, path: &source, adopt: None })
    };
    for mode in [RepoMode::Archive, RepoMode::BareUserOnly] {
        let repo = Repo::create(&directory.path().join(format!("{mode}")), mode, None).unwrap();
        let transaction = Transaction::begin(&repo).unwrap();
        for size in [content.len() as u64 - 1, content.len() as u64 + 1] {
            let changed = write(&transaction, size).unwrap_err().to_string();
            assert!(changed.contains("large"), "{changed}");
        }
        // After a file that was new, the next one is not read twice.
        transaction.write_bytes(&header, b"new").unwrap();
        for size in [content.len() as u64 - 1, content.len() as u64 + 1] {
            let changed = write(&transaction, size).unwrap_err().to_string();
            assert!(changed.contains("large"), "{changed}");
        }
        let checksum = write(&transaction, content.len() as u64).unwrap();
        assert_eq!(transaction.commit().unwrap().content_objects_written, 2);
        assert_eq!(repo.load_file(&checksum).unwrap().verify().unwrap(), content.len() as u64);
        // Stored already, expected or not.
        for new_before in [false, true] {
            let transaction = Transaction::begin(&repo).unwrap();
            if new_before {
                transaction.write_bytes(&header, b"newer").unwrap();
            }
            assert_eq!(write(&transaction, content.len() as u64).unwrap(), checksum);
            assert_eq!(
                transaction.commit().unwrap().content_objects_written,
                u64::from(new_before)
            );
        }
        let first =
            Repo::create(&directory.path().join(format!("{mode}-first")), mode, None).unwrap();
        let transaction = Transaction::begin(&first).unwrap();
        assert_eq!(write(&transaction, content.len() as u64).unwrap(), checksum);
        transaction.commit().unwrap();
        let object =
            format!("objects/{}/{}.file", &checksum.to_hex()[..2], &checksum.to_hex()[2..]);
        let object = if mode == RepoMode::Archive { format!("{object}z") } else { object };
        assert_eq!(
            fs::read(repo.path().join(&object)).unwrap(),
            fs::read(first.path().join(&object)).unwrap()
        );
        let left: Vec<_> = fs::read_dir(repo.path().join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["cache"]);
    }
}

#[test]
fn ostree_takes_nothing_out_of_the_staging_directory_of_a_killed_osier() {
    let Some(ostree) = support::ostree() else { return };
    let directory = support::scratch();
    let path = directory.path().join("repo");
    let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
    let transaction = Transaction::begin(&repo).unwrap();
    let checksum =
        transaction.write_metadata(ObjectType::DirTree, b"finished, but unused").unwrap();
    let object = format!("{}/{}.dirtree", &checksum.to_hex()[..2], &checksum.to_hex()[2..]);
    let staged = |name: &str| path.join("tmp").join(name).join("osier").join(&object);
    let staging = || {
        let names = fs::read_dir(path.join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("staging-") && !name.ends_with("-lock"))
            .collect::<Vec<_>>()
    };
    let [name] = &staging()[..] else { panic!("{:?}", staging()) };
    assert!(staged(name).exists(), "{name}");
    fs::create_dir(directory.path().join("tree")).unwrap();
    let commit = |branch: &str| {
        let tree = directory.path().join("tree");
        ostree
            .repo(&path, ["commit", "-b", branch, "--timestamp=@1", tree.to_str().unwrap()])
            .success();
    };
    // Not while it lives, and not after its end.
    commit("first");
    assert_eq!(staging(), std::slice::from_ref(name));
    assert!(staged(name).exists());
    transaction.abort(None);
    commit("second");
    assert_eq!(staging(), [""; 0]);
    assert!(!path.join("objects").join(&object).exists());
    ostree.repo(&path, ["fsck"]).success();
}

#[test]
fn what_ostree_has_staged_is_taken_over() {
    let directory = support::scratch();
    let path = directory.path().join("repo");
    let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let staging = path.join(format!("tmp/staging-{}-abcdef", boot_id.trim()));
    let name = ObjectName::new(Checksum::of(b"staged"), ObjectType::DirTree);
    let hex = name.checksum.to_hex();
    fs::create_dir_all(staging.join(&hex[..2])).unwrap();
    fs::write(staging.join(format!("{}/{}.dirtree", &hex[..2], &hex[2..])), "staged").unwrap();
    fs::write(staging.join("tmp.abcdef"), "not finished").unwrap();
    let of_another_boot = path.join("tmp/staging-00000000-0000-0000-0000-000000000000-abcdef");
    fs::create_dir_all(of_another_boot.join("ab")).unwrap();
    Transaction::begin(&repo).unwrap().abort(None);
    assert_eq!(repo.list_objects().unwrap(), []);
    Transaction::begin(&repo).unwrap().commit().unwrap();
    assert_eq!(repo.list_objects().unwrap(), [name]);
    let left: Vec<_> =
        fs::read_dir(path.join("tmp")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["cache"]);
}

#[test]
fn an_uncommitted_transaction_changes_nothing_and_the_next_one_takes_its_objects_over() {
    let directory = support::scratch();
    let path = directory.path().join("repo");
    let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
    let header = FileHeader {
        uid: 0,
        gid: 0,
        mode: 0o100_644,
        symlink_target: String::new(),
        xattrs: Xattrs::new(),
    };
    let first = Transaction::begin(&repo).unwrap();
    let file = first.write_bytes(&header, b"staged").unwrap();
    let name = ObjectName::new(file, ObjectType::File);
    first.abort(None);
    assert!(!repo.has_object(&name).unwrap());
    let second = Transaction::begin(&repo).unwrap();
    assert_eq!(second.write_bytes(&header, b"staged").unwrap(), file);
    assert_eq!(second.stats().content_objects_written, 0, "the staged object was there");
    second.commit().unwrap();
    assert!(repo.has_object(&name).unwrap());
}

#[test]
fn refs_are_listed_with_and_without_their_prefix() {
    let directory = support::scratch();
    let Some(path) = extract_repo("archive", directory.path()) else { return };
    let repo = Repo::open(&path).unwrap();
    let names = |prefix, spelling| {
        let refs = repo.list_refs(prefix, spelling).unwrap();
        refs.into_iter().map(|(refspec, _)| refspec.to_string()).collect::<Vec<_>>()
    };
    let expected = String::from_utf8(support::expected("refs.txt")).unwrap();
    assert_eq!(names(None, ListRefs::Full), expected.lines().collect::<Vec<_>>());
    assert_eq!(
        names(Some("golden"), ListRefs::BelowPrefix),
        ["alias", "empty-body", "tag", "two", "x86_64/main"]
    );
    assert_eq!(names(Some("golden/x86_64"), ListRefs::Full), ["golden/x86_64/main"]);
    assert_eq!(names(Some("golden/two"), ListRefs::BelowPrefix), ["golden/two"]);
    assert_eq!(names(Some("third:"), ListRefs::BelowPrefix), ["third:third/ref"]);
    assert_eq!(names(Some("third:"), ListRefs::Full), ["third:third/ref"]);
    assert_eq!(names(Some("nothere"), ListRefs::Full), Vec::<String>::new());
    let collections: String = repo
        .list_collection_refs(None)
        .unwrap()
        .iter()
        .map(|(name, _)| format!("{name}\n"))
        .collect();
    assert_eq!(collections.into_bytes(), support::expected("refs-collections.txt"));
    let aliases = repo.list_aliases(None).unwrap();
    let aliases: Vec<_> =
        aliases.iter().map(|(alias, target)| (alias.as_str(), target.as_str())).collect();
    assert_eq!(aliases, [("golden/alias", "golden/x86_64/main")]);
}

#[test]
fn a_ref_cannot_take_the_place_of_a_directory_of_refs() {
    let directory = support::scratch();
    let path = directory.path().join("repo");
    let id = CollectionId::parse("org.example.A").unwrap();
    let repo = Repo::create(&path, RepoMode::Archive, Some(&id)).unwrap();
    let commit = Checksum::of(b"");
    let set =
        |name: &str| repo.set_ref_immediate(None, &RefName::parse(name).unwrap(), Some(&commit));
    set("a/b").unwrap();
    assert_eq!(set("a").unwrap_err().chain(), "Conflict: b exists under a when attempting write");
    assert_eq!(set("a/b/c").unwrap_err().chain(), "openat(refs/heads/a/b/c): Not a directory");
    let hex = commit.to_hex();
    assert_eq!(set(&hex).unwrap_err().chain(), format!("Rev name '{hex}' looks like a checksum"));
    repo.set_ref_immediate(None, &RefName::parse("a/b").unwrap(), None).unwrap();
    assert!(Path::new(&path).join("refs/heads/a").is_dir(), "empty directories stay");
    set("a").unwrap();
    assert_eq!(repo.resolve_rev("a").unwrap(), commit);
}

#[test]
fn a_remote_alone_stands_for_all_its_refs() {
    let directory = support::scratch();
    let path = directory.path().join("repo");
    let program = support::osier();
    program.repo(&path, ["init", "--mode=archive"]).success();
    std::fs::create_dir(directory.path().join("tree")).unwrap();
    let tree = format!("--tree=dir={}", directory.path().join("tree").display());
    for branch in ["up:app/one", "up:two", "upper:three", "keep"] {
        program.repo(&path, ["commit", "-b", branch, &tree]).success();
    }
    let refs = |arguments: &[&str]| {
        let output = program.repo(&path, [&["refs"], arguments].concat());
        (output.status, String::from_utf8(output.stdout).unwrap())
    };
    for arguments in [&["--list", "up:"][..], &["up:"], &["--list", "up:."]] {
        assert_eq!(refs(arguments), (0, "up:app/one\nup:two\n".to_owned()), "{arguments:?}");
    }
    // What is no remote's name leads nowhere, and never out of its directory.
    for prefix in [":", "..:", "../heads:", "up/app:", "."] {
        assert_eq!(refs(&["--list", prefix]), (1, String::new()), "{prefix}");
        assert_eq!(refs(&["--delete", prefix]), (1, String::new()), "{prefix}");
    }
    assert_eq!(refs(&["--delete", "nope:"]), (0, String::new()));
    assert_eq!(refs(&["--delete", "up:"]), (0, String::new()));
    assert_eq!(refs(&[]), (0, "keep\nupper:three\n".to_owned()));
}

#[test]
fn a_config_can_be_read_by_all_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let directory = support::scratch();
    for umask in ["000", "002", "022", "027", "077"] {
        let script = format!("umask {umask}; exec \"$@\"");
        let repo = format!("--repo={}/{umask}", directory.path().display());
        support::Program::other("sh", "sh")
            .run(["-c", &script, "sh", support::osier_path(), &repo, "init", "--mode=archive"])
            .success();
        let config = directory.path().join(umask).join("config");
        let mode = fs::metadata(config).unwrap().permissions().mode() & 0o7777;
        assert_eq!(format!("{mode:o}"), "644", "umask {umask}");
    }
}
