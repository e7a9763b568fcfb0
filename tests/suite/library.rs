//! What a program that uses the library can ask of a repository: walking, reading, committing
//! values.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use osier::commit::{CommitOptions, Description, Parent, Source, commit};
use osier::object::{ObjectType, Xattrs};
use osier::progress::Silent;
use osier::repo::tree::Node;
use osier::repo::{FileContent, Repo, RepoMode, read_file, walk};
use osier::source::{Attributes, MemoryTree, Modifier, SkipList};
use osier::{Checksum, Error};

use crate::support::{golden_commit, needs_root, osier as program, scratch};

fn repository(at: &Path) -> Repo {
    Repo::create(&at.join("repo"), RepoMode::Archive, None).unwrap()
}

fn committed(repo: &Repo, options: &CommitOptions) -> Checksum {
    commit(repo, options, &Silent).unwrap().commit
}

fn of_tree(tree: MemoryTree) -> CommitOptions {
    CommitOptions { sources: vec![Source::Memory(tree)], ..CommitOptions::new(Description::new(1)) }
}

fn sample() -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.add_file("b/c/file", "below", Attributes::new(0o600)).unwrap();
    tree.add_file("z", "last", Attributes { uid: 7, gid: 8, ..Attributes::new(0o4755) }).unwrap();
    tree.add_symlink("b/link", "c/file", Attributes::new(0o777)).unwrap();
    tree.add_directory("a", Attributes::new(0o1777)).unwrap();
    tree
}

fn object(repo: &Repo, checksum: &Checksum, extension: &str) -> PathBuf {
    let hex = checksum.to_hex();
    repo.path().join(format!("objects/{}/{}.{extension}", &hex[..2], &hex[2..]))
}

fn root(repo: &Repo, commit: &Checksum) -> Node {
    Node::root_of(&repo.load_commit(commit).unwrap())
}

/// The paths of a tree, and the errors in their place.
fn walked(repo: &Repo, root: &Node) -> Vec<String> {
    walk::entries(repo, root)
        .map(|entry| entry.map_or_else(|error| error.chain(), |entry| entry.path))
        .collect()
}

#[test]
fn a_tree_is_walked_in_the_order_of_a_listing() {
    let directory = scratch();
    let Some(path) = crate::support::extract_repo("archive", directory.path()) else { return };
    let repo = Repo::open(&path).unwrap();
    for name in ["c1", "c2", "c3"] {
        let id = golden_commit(name);
        let listed = program().repo(&path, ["ls", "-R", "--nul-filenames-only", &id]).success();
        let listed: Vec<&str> = listed.split_terminator('\0').collect();
        assert!(listed.len() > 10, "{name}");
        assert_eq!(walked(&repo, &root(&repo, &id.parse().unwrap())), listed, "{name}");
    }
}

#[test]
fn a_missing_directory_is_an_item_and_the_walk_goes_on() {
    let directory = scratch();
    let repo = repository(directory.path());
    let id = committed(&repo, &of_tree(sample()));
    let root = root(&repo, &id);
    assert_eq!(walked(&repo, &root), ["/", "/z", "/a", "/b", "/b/link", "/b/c", "/b/c/file"]);
    let below =
        walk::entries(&repo, &root).map(Result::unwrap).find(|entry| entry.path == "/b").unwrap();
    let Node::Directory { dirtree, .. } = below.node else { panic!("{below:?}") };
    fs::remove_file(object(&repo, &dirtree, "dirtree")).unwrap();
    let missing = format!("No such metadata object {dirtree}.dirtree");
    assert_eq!(walked(&repo, &root), ["/", "/z", "/a", "/b", &missing]);
    let file =
        walk::entries(&repo, &root).map(Result::unwrap).find(|entry| entry.path == "/z").unwrap();
    assert_eq!(walked(&repo, &file.node), ["/"], "a file alone is a walk of one step");
}

#[test]
fn a_history_ends_at_a_parent_that_is_missing_and_fails_at_a_first_commit_that_is() {
    let directory = scratch();
    let repo = repository(directory.path());
    let mut commits = Vec::new();
    let mut parent = Parent::None;
    for timestamp in [10, 20, 30] {
        let description = Description::new(timestamp);
        let sources = vec![Source::Memory(sample())];
        let id =
            committed(&repo, &CommitOptions { parent, sources, ..CommitOptions::new(description) });
        commits.insert(0, id);
        parent = Parent::Commit(id);
    }
    let times = |history: &mut walk::History<'_>| -> Vec<Result<u64, String>> {
        history
            .map(|step| step.map(|(_, commit)| commit.timestamp).map_err(|error| error.chain()))
            .collect()
    };
    let mut history = walk::history(&repo, &commits[0]);
    assert_eq!(times(&mut history), [Ok(30), Ok(20), Ok(10)]);
    assert_eq!(history.missing_parent(), None);
    fs::remove_file(object(&repo, &commits[2], "commit")).unwrap();
    let mut history = walk::history(&repo, &commits[0]);
    assert_eq!(times(&mut history), [Ok(30), Ok(20)]);
    assert_eq!(history.missing_parent(), Some(commits[2]));
    let mut history = walk::history(&repo, &commits[2]);
    assert_eq!(
        times(&mut history),
        [Err(format!("No such metadata object {}.commit", commits[2]))]
    );
    assert_eq!(history.missing_parent(), None);
    // Damage is no end.
    fs::write(object(&repo, &commits[1], "commit"), "damaged").unwrap();
    let found = times(&mut walk::history(&repo, &commits[0]));
    assert_eq!(found.len(), 2);
    assert!(
        found[1]
            .as_ref()
            .unwrap_err()
            .starts_with(&format!("malformed object {}.commit", commits[1])),
        "{found:?}"
    );
}

#[test]
fn a_file_is_read_by_its_path_in_every_mode() {
    for mode in [RepoMode::Archive, RepoMode::BareUser, RepoMode::BareUserOnly] {
        let directory = scratch();
        if mode == RepoMode::BareUser && !crate::support::needs_user_xattrs() {
            continue;
        }
        let repo = Repo::create(&directory.path().join("repo"), mode, None).unwrap();
        let mut tree = MemoryTree::new();
        let large: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
        tree.add_file("dir/large", large.clone(), Attributes::new(0o644)).unwrap();
        tree.add_file("empty", "", Attributes::new(0o644)).unwrap();
        tree.add_symlink("link", "dir/large", Attributes::new(0o777)).unwrap();
        let id = committed(&repo, &of_tree(tree));
        for (path, expected) in [("/dir/large", &large[..]), ("dir/large", &large), ("empty", b"")]
        {
            let FileContent::Regular(mut reader) = read_file(&repo, &id, path).unwrap() else {
                panic!("{path}")
            };
            assert_eq!((reader.size(), reader.header().mode), (expected.len() as u64, 0o100_644));
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            assert!(content == expected, "{mode:?} {path}");
        }
        let link = read_file(&repo, &id, "/link").unwrap();
        assert!(matches!(&link, FileContent::Symlink(target) if target == "dir/large"), "{link:?}");
        let error = |path| read_file(&repo, &id, path).unwrap_err();
        assert!(matches!(error("/dir/none/x"), Error::NoSuchPath { path } if path == "/dir/none"));
        assert_eq!(error("/dir").chain(), "/dir: Is a directory");
        assert_eq!(error("/empty/x").chain(), "/empty/x: Not a directory");
        assert_eq!(error("link/x").chain(), "link/x: Not a directory");
    }
}

#[test]
fn content_that_ends_too_early_is_an_error_of_the_reader() {
    let directory = scratch();
    let repo = repository(directory.path());
    let mut tree = MemoryTree::new();
    let content: Vec<u8> = (0..100_000u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    tree.add_file("file", content, Attributes::new(0o644)).unwrap();
    let id = committed(&repo, &of_tree(tree));
    let FileContent::Regular(reader) = read_file(&repo, &id, "file").unwrap() else { panic!() };
    let checksum = *reader.checksum();
    let path = object(&repo, &checksum, "filez");
    let length = fs::metadata(&path).unwrap().len();
    for cut in [1, length / 2] {
        fs::File::options().write(true).open(&path).unwrap().set_len(length - cut).unwrap();
        let FileContent::Regular(mut reader) = read_file(&repo, &id, "file").unwrap() else {
            panic!()
        };
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{cut}: {error}");
        assert!(
            error.to_string().starts_with(&format!("malformed object {checksum}.file: ")),
            "{cut}: {error}"
        );
    }
}

#[test]
fn a_tree_in_memory_becomes_the_commit_that_the_same_directory_becomes() {
    if !needs_root() || !crate::support::needs_user_xattrs() {
        return;
    }
    let directory = scratch();
    let repo = repository(directory.path());
    let mut tree = sample();
    let pairs = [(b"user.two".to_vec(), b"2".to_vec()), (b"user.one".to_vec(), b"1".to_vec())];
    let xattrs = Xattrs::from_pairs(pairs.to_vec());
    tree.add_file(
        "x",
        "with xattrs",
        Attributes { xattrs: xattrs.unwrap(), ..Attributes::new(0o644) },
    )
    .unwrap();
    tree.add_directory("/", Attributes::new(0o750)).unwrap();
    let id = committed(&repo, &of_tree(tree));
    let out = directory.path().join("out");
    osier::checkout::checkout(
        &repo,
        &id,
        &out,
        &osier::checkout::CheckoutOptions::default(),
        &Silent,
    )
    .unwrap();
    let sources = vec![Source::Directory(out)];
    let again =
        committed(&repo, &CommitOptions { sources, ..CommitOptions::new(Description::new(1)) });
    assert_eq!(again, id);
    program().repo(repo.path(), ["fsck"]).success();
}

#[test]
fn a_tree_in_memory_runs_through_the_modifier_and_is_laid_over() {
    let directory = scratch();
    let repo = repository(directory.path());
    let mut above = MemoryTree::new();
    above.add_file("b/new", "new", Attributes { uid: 3, ..Attributes::new(0o666) }).unwrap();
    above.add_file("z", "replaced", Attributes::new(0o644)).unwrap();
    let list = directory.path().join("list");
    fs::write(&list, "/b/c\n").unwrap();
    let modifier = Modifier {
        owner_uid: Some(5),
        canonical_permissions: false,
        skip_list: Some(SkipList::read(&list).unwrap()),
        ..Modifier::default()
    };
    let sources = vec![Source::Memory(sample()), Source::Memory(above)];
    let id = committed(
        &repo,
        &CommitOptions { sources, modifier, ..CommitOptions::new(Description::new(1)) },
    );
    assert_eq!(walked(&repo, &root(&repo, &id)), ["/", "/z", "/a", "/b", "/b/link", "/b/new"]);
    let FileContent::Regular(mut reader) = read_file(&repo, &id, "z").unwrap() else { panic!() };
    let mut content = String::new();
    reader.read_to_string(&mut content).unwrap();
    assert_eq!((&content[..], reader.header().uid), ("replaced", 5));
    let mut file = MemoryTree::new();
    file.add_file("b", "", Attributes::new(0o644)).unwrap();
    for (sources, expected) in [
        (vec![sample(), file.clone()], "Can't replace directory with file: b"),
        (vec![file, sample()], "Can't replace file with directory: b"),
    ] {
        let sources = sources.into_iter().map(Source::Memory).collect();
        let options = CommitOptions { sources, ..CommitOptions::new(Description::new(1)) };
        assert_eq!(commit(&repo, &options, &Silent).unwrap_err().chain(), expected);
    }
    assert_eq!(
        repo.list_objects()
            .unwrap()
            .iter()
            .filter(|name| name.object_type == ObjectType::Commit)
            .count(),
        1
    );
}

#[test]
fn files_that_are_held_together_and_files_that_stream_become_their_own_objects() {
    // Around the borders of a block, of what is held, and of what is held together; with links
    // between them.
    const SIZES: [usize; 14] =
        [0, 1, 55, 64, 4000, 700_000, 700_001, 700_002, 1, 1 << 20, (1 << 20) + 1, 3, 1 << 20, 9];
    let directory = scratch();
    let source = directory.path().join("tree");
    let mut tree = MemoryTree::new();
    let plain = || Attributes::new(0o644);
    for (below, count) in [("", SIZES.len()), ("d/", 7), ("e/", 1)] {
        fs::create_dir_all(source.join(below)).unwrap();
        for (number, &size) in SIZES[..count].iter().enumerate() {
            let content: Vec<u8> =
                (0..size).map(|at| ((at * at + number * 31) >> 3) as u8).collect();
            let name = format!("{below}file-{number:02}");
            fs::write(source.join(&name), &content).unwrap();
            tree.add_file(&name, content, plain()).unwrap();
            if number % 3 == 0 {
                let link = format!("{name}-link");
                std::os::unix::fs::symlink("../target", source.join(&link)).unwrap();
                tree.add_symlink(&link, "../target", Attributes::new(0o777)).unwrap();
            }
        }
    }
    let repo = repository(directory.path());
    let roots = [Source::Memory(tree), Source::Directory(source)].map(|source| {
        let modifier = Modifier { canonical_permissions: true, ..Modifier::default() };
        let options = CommitOptions {
            modifier,
            sources: vec![source],
            ..CommitOptions::new(Description::new(1))
        };
        repo.load_commit(&committed(&repo, &options)).unwrap().root_dirtree
    });
    assert_eq!(roots[0], roots[1]);
    // The files of `d` and `e` are equal to others, and all links are.
    let files = repo.list_objects().unwrap();
    assert_eq!(
        files.iter().filter(|name| name.object_type == ObjectType::File).count(),
        SIZES.len() + 1
    );
}
