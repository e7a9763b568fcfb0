//! The stat cache of commits: what it saves, and that it never changes what is committed.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use osier::Checksum;
use osier::commit::{
    CommitOptions, CommitOutcome, Description, Reading, Source, StatCacheOptions, commit,
};
use osier::fsck::{FsckOptions, fsck};
use osier::labels::Policy;
use osier::object::{ObjectName, ObjectType};
use osier::progress::{Event, Silent};
use osier::repo::{Repo, RepoMode};
use osier::source::{Modifier, SkipList, StatOverride};
use rustix::fs::{Timespec, Timestamps, XattrFlags, setxattr};

use crate::support::{needs_root, needs_user_xattrs, osier, scratch};
use crate::trees::{for_trees, trees};

/// Longer than any clock ticks.
const SETTLING: Duration = Duration::from_millis(30);

/// A tree and a repository.
struct Place {
    directory: tempfile::TempDir,
    repo: Repo,
}

/// Files and links in the tree that every [`Place`] starts with.
const ENTRIES: u64 = 5;

impl Place {
    fn new() -> Self {
        let directory = scratch();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("dir/below")).unwrap();
        for (name, content) in
            [("a", "one"), ("dir/b", "two"), ("dir/below/c", "three"), ("dir/empty", "")]
        {
            fs::write(tree.join(name), content).unwrap();
        }
        symlink("b", tree.join("dir/link")).unwrap();
        let repo = create(&directory.path().join("repo"));
        settle();
        Self { directory, repo }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("tree").join(name)
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("repo/tmp/cache/stat-cache")
    }

    /// With the stat cache and no other options.
    fn commit(&self) -> CommitOutcome {
        self.commit_with(&Modifier::default()).0
    }

    /// With the stat cache; also says which warnings there were.
    fn commit_with(&self, modifier: &Modifier) -> (CommitOutcome, Vec<String>) {
        let options =
            self.options(modifier, Some(StatCacheOptions { file: None, settling: SETTLING }));
        let warnings = Mutex::new(Vec::new());
        let progress = |event: Event<'_>| {
            if let Event::Warning(text) = event {
                warnings.lock().unwrap().push(text.to_owned());
            }
        };
        let outcome = commit(&self.repo, &options, &progress).unwrap();
        (outcome, warnings.into_inner().unwrap())
    }

    /// The tree as a commit without any cache into a fresh repository has it.
    fn expected_with(&self, modifier: &Modifier) -> (Checksum, Checksum) {
        let directory = scratch();
        let repo = create(&directory.path().join("repo"));
        let outcome = commit(&repo, &self.options(modifier, None), &Silent).unwrap();
        assert_eq!(outcome.stat_cache, None);
        root(&repo, &outcome)
    }

    fn options(&self, modifier: &Modifier, stat_cache: Option<StatCacheOptions>) -> CommitOptions {
        CommitOptions {
            sources: vec![Source::Directory(self.path(""))],
            modifier: modifier.clone(),
            reading: Reading { stat_cache, ..Reading::default() },
            ..CommitOptions::new(Description::new(0))
        }
    }

    /// Commits with the cache, compares with a commit without, and returns how many entries were
    /// not read.
    #[track_caller]
    fn hits_of_right_commit(&self) -> u64 {
        self.hits_of_right_commit_with(&Modifier::default())
    }

    #[track_caller]
    fn hits_of_right_commit_with(&self, modifier: &Modifier) -> u64 {
        let (outcome, warnings) = self.commit_with(modifier);
        assert_eq!(warnings, [""; 0]);
        assert_eq!(root(&self.repo, &outcome), self.expected_with(modifier));
        outcome.stat_cache.unwrap().hits
    }
}

fn create(path: &Path) -> Repo {
    Repo::create(path, RepoMode::Archive, None).unwrap()
}

fn root(repo: &Repo, outcome: &CommitOutcome) -> (Checksum, Checksum) {
    let commit = repo.load_commit(&outcome.commit).unwrap();
    (commit.root_dirtree, commit.root_dirmeta)
}

/// Waits until everything that was written is old enough to be remembered.
fn settle() {
    thread::sleep(2 * SETTLING);
}

/// Gives a file the modification time that it had.
fn restore_mtime(path: &Path, before: &fs::Metadata) {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(before.atime(), before.atime_nsec()),
        last_modification: time(before.mtime(), before.mtime_nsec()),
    };
    rustix::fs::futimens(File::options().write(true).open(path).unwrap(), &times).unwrap();
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let place = Place::new();
    let first = place.commit();
    assert_eq!(first.stat_cache.unwrap().hits, 0);
    assert_eq!(first.stat_cache.unwrap().remembered, ENTRIES);
    let second = place.commit();
    assert_eq!(second.stat_cache.unwrap().hits, ENTRIES);
    assert_eq!(root(&place.repo, &second), root(&place.repo, &first));
    assert_eq!(second.stats.content_objects_total, first.stats.content_objects_total);
    assert_eq!(place.hits_of_right_commit(), ENTRIES);
}

#[test]
fn a_cache_that_has_nothing_new_is_not_written_again() {
    let place = Place::new();
    place.commit();
    let inode = fs::metadata(place.cache()).unwrap().ino();
    place.commit();
    assert_eq!(fs::metadata(place.cache()).unwrap().ino(), inode);
}

#[test]
fn a_touched_file_is_read_and_the_others_are_not() {
    let place = Place::new();
    place.commit();
    let file = File::options().write(true).open(place.path("dir/b")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    settle();
    assert_eq!(place.hits_of_right_commit(), ENTRIES - 1);
    assert_eq!(place.hits_of_right_commit(), ENTRIES);
}

#[test]
fn new_content_of_the_same_size_with_the_old_mtime_is_seen() {
    let place = Place::new();
    let old = root(&place.repo, &place.commit());
    let before = fs::metadata(place.path("a")).unwrap();
    fs::write(place.path("a"), "ONE").unwrap();
    restore_mtime(&place.path("a"), &before);
    let after = fs::metadata(place.path("a")).unwrap();
    assert_eq!(
        (after.len(), after.mtime(), after.mtime_nsec()),
        (3, before.mtime(), before.mtime_nsec())
    );
    assert_eq!(place.hits_of_right_commit(), ENTRIES - 1);
    assert_ne!(root(&place.repo, &place.commit()), old);
}

#[test]
fn a_file_moved_into_the_place_of_another_is_not_taken_for_it() {
    let place = Place::new();
    place.commit();
    fs::rename(place.path("dir/b"), place.path("a")).unwrap();
    place.hits_of_right_commit();
    fs::remove_file(place.path("dir/link")).unwrap();
    symlink("c", place.path("dir/link")).unwrap();
    place.hits_of_right_commit();
}

#[test]
fn modes_owners_and_xattrs_that_change_are_seen() {
    if !needs_root() || !needs_user_xattrs() {
        return;
    }
    let place = Place::new();
    place.commit();
    fs::set_permissions(place.path("a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.hits_of_right_commit(), ENTRIES - 1);
    chown(place.path("dir/b"), Some(7), Some(8)).unwrap();
    place.hits_of_right_commit();
    for value in [b"1", b"2"] {
        settle();
        place.commit();
        setxattr(place.path("dir/below/c"), "user.x", value, XattrFlags::empty()).unwrap();
        assert_eq!(place.hits_of_right_commit(), ENTRIES - 1);
    }
}

#[test]
fn what_changed_a_moment_before_the_commit_is_not_remembered() {
    let place = Place::new();
    fs::write(place.path("a"), "new").unwrap();
    let careful = StatCacheOptions { file: None, settling: Duration::from_secs(3600) };
    let options = place.options(&Modifier::default(), Some(careful));
    let outcome = commit(&place.repo, &options, &Silent).unwrap();
    assert_eq!(outcome.stat_cache.unwrap().remembered, 0);
    assert_eq!(commit(&place.repo, &options, &Silent).unwrap().stat_cache.unwrap().hits, 0);
    // The default is long enough for file systems that stamp whole seconds.
    assert_eq!(StatCacheOptions::default().settling, Duration::from_secs(2));
}

#[test]
fn a_damaged_cache_is_dropped_with_a_warning() {
    let place = Place::new();
    let expected = root(&place.repo, &place.commit());
    let whole = fs::read(place.cache()).unwrap();
    let mut damaged: Vec<Vec<u8>> =
        vec![Vec::new(), b"garbage".to_vec(), [&whole[..], b"x"].concat()];
    damaged.extend((1..whole.len()).step_by(61).map(|length| whole[..length].to_vec()));
    damaged.extend((0..whole.len()).step_by(29).map(|position| {
        let mut flipped = whole.clone();
        flipped[position] ^= 1 << (position % 8);
        flipped
    }));
    for bytes in damaged {
        fs::write(place.cache(), &bytes).unwrap();
        let (outcome, warnings) = place.commit_with(&Modifier::default());
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].starts_with(&format!("stat cache dropped: {}", place.cache().display())),
            "{warnings:?}"
        );
        assert_eq!(outcome.stat_cache.unwrap().hits, 0);
        assert_eq!(root(&place.repo, &outcome), expected);
        assert_eq!(fs::read(place.cache()).unwrap(), whole);
    }
    assert_eq!(place.hits_of_right_commit(), ENTRIES);
}

#[test]
fn a_cache_that_cannot_be_used_keeps_no_commit_from_being_made() {
    let place = Place::new();
    fs::create_dir_all(place.cache()).unwrap();
    let (outcome, warnings) = place.commit_with(&Modifier::default());
    assert_eq!(outcome.stat_cache.unwrap().hits, 0);
    assert_eq!(root(&place.repo, &outcome), place.expected_with(&Modifier::default()));
    let cache = place.cache();
    let cache = cache.display();
    let expected = [
        format!("stat cache dropped: reading {cache}: Is a directory"),
        format!("stat cache not written: replacing {cache}: Is a directory"),
    ];
    assert_eq!(warnings, expected);
    let litter = fs::read_dir(place.repo.path().join("tmp")).unwrap().count();
    assert_eq!(litter, 1, "only the directory cache");
}

#[test]
fn objects_that_are_gone_are_written_again() {
    let place = Place::new();
    let first = place.commit();
    let contents = place.repo.load_dirtree(&root(&place.repo, &first).0).unwrap();
    let file = ObjectName::new(contents.files[0].1, ObjectType::File);
    assert!(place.repo.delete_object(&file).unwrap());
    let second = place.commit();
    assert_eq!(second.stat_cache.unwrap().hits, ENTRIES - 1);
    assert_eq!(second.stats.content_objects_written, 1);
    assert!(place.repo.has_object(&file).unwrap());
    assert!(!fsck(&place.repo, &FsckOptions::default(), &Silent).unwrap().corrupted);
}

#[test]
fn other_options_ask_other_questions() {
    if !needs_root() || !needs_user_xattrs() {
        return;
    }
    let place = Place::new();
    setxattr(place.path("a"), "user.x", b"1", XattrFlags::empty()).unwrap();
    fs::set_permissions(place.path("dir/b"), fs::Permissions::from_mode(0o775)).unwrap();
    fs::hard_link(place.path("dir/b"), place.path("other-name")).unwrap();
    settle();
    let statoverride = Some(StatOverride::parse("=448 /dir/b\n+2048 /a\n"));
    let sets = [
        Modifier::default(),
        Modifier { owner_uid: Some(5), ..Modifier::default() },
        Modifier { owner_gid: Some(6), ..Modifier::default() },
        Modifier { canonical_permissions: true, ..Modifier::default() },
        Modifier { mode_ro_executables: true, ..Modifier::default() },
        Modifier { no_xattrs: true, ..Modifier::default() },
        Modifier { statoverride: statoverride.map(Result::unwrap), ..Modifier::default() },
        Modifier { skip_list: Some(SkipList::parse("/dir/empty\n")), ..Modifier::default() },
    ];
    let expected: Vec<_> = sets.iter().map(|set| place.expected_with(set)).collect();
    // Every one after every other.
    for first in 0..sets.len() {
        for index in (first..sets.len()).flat_map(|second| [first, second]) {
            let (outcome, warnings) = place.commit_with(&sets[index]);
            assert_eq!(
                (root(&place.repo, &outcome), warnings),
                (expected[index], vec![]),
                "{first} {index}"
            );
        }
    }
    for set in &sets {
        let skipped = u64::from(set.skip_list.is_some());
        assert_eq!(place.hits_of_right_commit_with(set), ENTRIES + 1 - skipped);
    }
}

#[test]
fn labels_are_part_of_the_question() {
    let place = Place::new();
    let policy = place.directory.path().join("root");
    let contexts = policy.join("etc/selinux/t/contexts/files");
    fs::create_dir_all(&contexts).unwrap();
    fs::create_dir_all(policy.join("etc/selinux/t/policy")).unwrap();
    fs::write(policy.join("etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=t\n").unwrap();
    fs::write(policy.join("etc/selinux/t/policy/policy.33"), "").unwrap();
    let mut found = Vec::new();
    for label in ["one_t", "two_t", "one_t"] {
        let text = format!("/.* system_u:object_r:{label}:s0\n/a system_u:object_r:a_t:s0\n");
        fs::write(contexts.join("file_contexts"), text).unwrap();
        let options = |stat_cache| CommitOptions {
            selinux_policy: Policy::open(&policy).unwrap().map(std::sync::Arc::new),
            ..place.options(&Modifier::default(), stat_cache)
        };
        let cached = options(Some(StatCacheOptions { file: None, settling: SETTLING }));
        let outcome = commit(&place.repo, &cached, &Silent).unwrap();
        let fresh = scratch();
        let repo = create(&fresh.path().join("repo"));
        let expected = root(&repo, &commit(&repo, &options(None), &Silent).unwrap());
        assert_eq!(root(&place.repo, &outcome), expected, "{label}");
        found.push(outcome.stat_cache.unwrap().hits);
    }
    // Of the second, only `a` has the label that it had; the third has all that the first had.
    assert_eq!(found, [0, 1, ENTRIES]);
}

#[test]
fn two_repositories_may_share_a_cache() {
    let place = Place::new();
    let file = place.directory.path().join("shared");
    let options = StatCacheOptions { file: Some(file.clone()), settling: SETTLING };
    let options = place.options(&Modifier::default(), Some(options));
    let other = create(&place.directory.path().join("other"));
    let mut hits = Vec::new();
    for repo in [&place.repo, &other, &place.repo, &other] {
        let outcome = commit(repo, &options, &Silent).unwrap();
        assert_eq!(root(repo, &outcome), place.expected_with(&Modifier::default()));
        hits.push(outcome.stat_cache.unwrap().hits);
    }
    assert_eq!(hits, [0, 0, ENTRIES, ENTRIES]);
    assert!(!fsck(&other, &FsckOptions::default(), &Silent).unwrap().corrupted);
    assert!(!place.cache().exists());
    let names =
        fs::read_dir(place.directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let litter = names
        .filter(|name| !["tree", "repo", "other", "shared"].iter().any(|known| name == known))
        .count();
    assert_eq!(litter, 0);
}

#[test]
fn commits_at_the_same_time_leave_a_whole_cache() {
    let place = Place::new();
    thread::scope(|scope| {
        for owner in 0..4 {
            let place = &place;
            scope.spawn(move || {
                let modifier = Modifier { owner_uid: Some(owner), ..Modifier::default() };
                for _ in 0..10 {
                    let (_, warnings) = place.commit_with(&modifier);
                    assert_eq!(warnings, [""; 0]);
                }
            });
        }
    });
    for owner in 0..4 {
        place
            .hits_of_right_commit_with(&Modifier { owner_uid: Some(owner), ..Modifier::default() });
    }
}

#[test]
fn sizes_are_recorded_for_what_was_not_read() {
    let place = Place::new();
    let with_sizes = |stat_cache| {
        let reading = Reading { stat_cache, generate_sizes: true, ..Reading::default() };
        let options = CommitOptions { reading, ..place.options(&Modifier::default(), None) };
        let outcome = commit(&place.repo, &options, &Silent).unwrap();
        (
            place.repo.load_commit(&outcome.commit).unwrap().metadata,
            outcome.stat_cache.map(|stats| stats.hits),
        )
    };
    let (expected, _) = with_sizes(None);
    assert!(expected.contains_key("ostree.sizes"));
    let cache = || Some(StatCacheOptions { file: None, settling: SETTLING });
    assert_eq!(with_sizes(cache()), (expected.clone(), Some(0)));
    assert_eq!(with_sizes(cache()), (expected, Some(ENTRIES)));
}

#[test]
fn generated_trees_get_the_same_commit_with_and_without_a_cache() {
    if !needs_user_xattrs() {
        return;
    }
    for_trees(8, trees(), |tree| {
        let directory = scratch();
        tree.build(&directory.path().join("tree"));
        let repo = create(&directory.path().join("repo"));
        let place = Place { directory, repo };
        settle();
        place.hits_of_right_commit();
        // A few files of every tree change in a few ways.
        for (number, path) in tree.file_paths().iter().step_by(3).enumerate() {
            let path = place.path(path.trim_start_matches('/'));
            let Ok(before) = fs::symlink_metadata(&path) else { continue };
            if !before.is_file() {
                continue;
            }
            match number % 3 {
                0 => {
                    let changed =
                        fs::read(&path).unwrap().iter().map(|byte| byte ^ 1).collect::<Vec<_>>();
                    fs::write(&path, changed).unwrap();
                    restore_mtime(&path, &before);
                }
                1 => fs::set_permissions(&path, fs::Permissions::from_mode(before.mode() ^ 0o100))
                    .unwrap(),
                _ => setxattr(&path, "user.changed", b"1", XattrFlags::empty()).unwrap(),
            }
        }
        place.hits_of_right_commit();
        settle();
        place.hits_of_right_commit();
        assert_eq!(place.hits_of_right_commit(), place.commit().stat_cache.unwrap().hits);
    });
}

#[test]
fn the_option_takes_its_file_after_an_equals_sign_only() {
    let place = Place::new();
    thread::sleep(StatCacheOptions::default().settling + SETTLING);
    let run = |options: &[&str]| {
        let tree = place.path("");
        let arguments =
            ["commit", "--orphan", "--table-output", "--timestamp=@1"].iter().chain(options);
        let arguments: Vec<&str> = arguments.copied().chain([tree.to_str().unwrap()]).collect();
        osier().in_directory(place.directory.path()).repo(place.repo.path(), arguments)
    };
    let hits = |options: &[&str]| {
        let output = run(options).success();
        output.lines().find_map(|line| line.strip_prefix("Stat Cache Hits: ").map(str::to_owned))
    };
    assert_eq!(hits(&[]), None);
    assert_eq!(hits(&["--stat-cache"]).as_deref(), Some("0"));
    assert!(place.cache().exists());
    assert_eq!(hits(&["--stat-cache"]).as_deref(), Some("5"));
    assert_eq!(hits(&["--stat-cache=mine"]).as_deref(), Some("0"));
    assert_eq!(hits(&["--stat-cache=mine"]).as_deref(), Some("5"));
    assert!(place.directory.path().join("mine").exists());
    assert_eq!(run(&["--stat-cache="]).failure(), "--stat-cache= must name a file");
    fs::write(place.directory.path().join("mine"), "x").unwrap();
    let output = run(&["--stat-cache=mine"]);
    assert_eq!(output.stderr, b"stat cache dropped: mine: too short for a stat cache\n");
    output.success();
}
