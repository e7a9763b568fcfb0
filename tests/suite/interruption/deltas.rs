//! `kill -9` of what makes, applies, indexes and removes static deltas.
//!
//! A delta is there when its superblock is, which comes last; a commit is there when its
//! transaction was committed. Whatever the moment: fsck is clean, what the repository says is there
//! is whole, and the same command again brings it to the very state that it reaches without
//! interruption.

use std::fs;
use std::path::Path;

use super::kill::run_prepared;
use super::stage::{stage, words};
use crate::support::{Program, can_trace, copy_all, osier, scratch};

fn run(at: &Path, call: &str) -> String {
    osier().in_directory(at).with("SOURCE_DATE_EPOCH", "5").run(words(call)).success()
}

/// Deltas between the three commits of `main`, without an index.
fn make_deltas(at: &Path) {
    for call in ["--from=main^ main", "--empty main", "--from=main^^ main^ --inline"] {
        run(at, &format!("static-delta generate --repo=archive {call}"));
    }
}

#[test]
fn a_killed_generate_leaves_no_delta_or_a_whole_one() {
    run_prepared(
        20,
        "archive",
        |_| (),
        |_| words("static-delta generate --max-chunk-size=0 --jobs=2 --from=main^ main"),
    );
}

#[test]
fn a_killed_generate_over_an_older_delta_is_finished_by_the_next() {
    let prepare = |at: &Path| {
        let older = "static-delta generate --repo=archive --max-chunk-size=0 --from=main^ main";
        run(at, older);
    };
    run_prepared(21, "archive", prepare, |_| {
        words("static-delta generate --jobs=2 --from=main^ main")
    });
}

#[test]
fn a_killed_apply_offline_is_as_if_it_had_not_begun_or_had_ended() {
    let prepare = |at: &Path| {
        fs::create_dir(at.join("delta")).unwrap();
        let options = "--max-chunk-size=0 --filename=delta/superblock --empty main";
        run(at, &format!("static-delta generate --repo=archive {options}"));
    };
    run_prepared(22, "empty", prepare, |_| words("static-delta apply-offline delta"));
}

#[test]
fn a_killed_reindex_leaves_old_or_new_indexes() {
    let prepare = |at: &Path| {
        make_deltas(at);
        run(at, "static-delta reindex --repo=archive");
        // One index changes, one goes, one is new.
        let rev = |rev: &str| run(at, &format!("rev-parse --repo=archive {rev}"));
        let [main, parent] = [rev("main"), rev("main^")].map(|rev| rev.trim().to_owned());
        run(at, &format!("static-delta delete --repo=archive {main}"));
        let oldest = rev("main^^");
        run(at, &format!("static-delta delete --repo=archive {}-{parent}", oldest.trim()));
        run(at, "static-delta generate --repo=archive --empty main^^");
    };
    run_prepared(23, "archive", prepare, |_| words("static-delta reindex"));
}

#[test]
fn a_killed_delete_has_removed_the_whole_delta_or_nothing() {
    if !can_trace() {
        return;
    }
    let directory = scratch();
    let [before, at] = ["before", "work"].map(|name| directory.path().join(name));
    fs::create_dir(&before).unwrap();
    stage(&before);
    make_deltas(&before);
    let main = run(&before, "rev-parse --repo=archive main");
    let main = main.trim();
    let mut gone = 0;
    for call in ["mkdir,mkdirat", "rename,renameat,renameat2", "unlink,unlinkat,rmdir"] {
        for number in 1.. {
            let _ = fs::remove_dir_all(&at);
            copy_all(&before, &at);
            let inject = format!("inject={call}:signal=SIGKILL:when={number}");
            let path = osier().path;
            let strace =
                ["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
            let delete = ["--repo=archive", "static-delta", "delete", main];
            let killed = Program::other("strace", "strace")
                .in_directory(&at)
                .run(strace.iter().chain([&path.to_str().unwrap()]).chain(&delete));
            let what = format!("before call {number} of {call}");
            assert!(matches!(killed.status, 0 | -9 | 137), "{what}: {killed:?}");
            let list = run(&at, "static-delta list --repo=archive");
            let is_there = list.lines().any(|line| line == main);
            match is_there {
                // It is whole: every part can be read.
                true => drop(run(&at, &format!("static-delta show --repo=archive {main}"))),
                false => gone += 1,
            }
            assert_eq!(list.lines().count(), 2 + usize::from(is_there), "{what}: {list}");
            run(&at, "fsck --quiet --repo=archive");
            let again = osier().in_directory(&at).run(delete);
            assert_eq!(again.status == 0, is_there, "{what}: {again:?}");
            run(&at, "static-delta reindex --repo=archive");
            run(&at, "summary -u --repo=archive");
            let view = run(&at, "summary --view --repo=archive");
            assert!(!view.contains(&format!("{main} ")), "{what}: {view}");
            if killed.status == 0 {
                break;
            }
        }
    }
    assert!(gone > 3, "{gone}");
}
