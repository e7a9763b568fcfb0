//! The commands, in the order of the program's help.

#[cfg(feature = "bench")]
use super::bench;
#[cfg(not(all(feature = "bench", feature = "compose", feature = "pull", feature = "serve")))]
use super::builtin::left_out;
use super::builtin::{Action, Builtin, Commands, RepoOption, command, from_matches};
#[cfg(feature = "compose")]
use super::compose;
#[cfg(feature = "serve")]
use super::serve;
#[cfg(feature = "delta")]
use super::static_delta;
use super::{
    cat, checkout, checksum, commit, compare, completions, config, create_usb, diff, du, export,
    find_object, fsck, gpg_sign, init, log, ls, man, prune, pull_local, push, receive, refs,
    remote, reset, rev_parse, show, sign, summary,
};
#[cfg(feature = "pull")]
use super::{find_remotes, pull};
#[cfg(feature = "http")]
use super::{metalink, trivial_httpd};

/// All of them.
pub(super) static BUILTINS: Commands = &[
    Builtin {
        name: "admin",
        arguments: "",
        about: "",
        action: Action::Refuse("not part of osier"),
    },
    #[cfg(feature = "bench")]
    command!(bench, "bench", "", "Compare with the ostree of this machine", RepoOption::Unknown),
    #[cfg(not(feature = "bench"))]
    left_out("bench", "this osier is built without the feature 'bench'"),
    command!(cat, "cat", "COMMIT PATH...", "Concatenate contents of files"),
    command!(
        checkout,
        "checkout",
        "COMMIT [DESTINATION]",
        "Check out a commit into a filesystem tree"
    ),
    command!(checksum, "checksum", "PATH", "Checksum a file or directory", RepoOption::Unknown),
    command!(commit, "commit", "[PATH]", "Commit a new revision"),
    command!(
        compare,
        "compare",
        "REPO_A REPO_B | REPO DEST | --with=PROGRAM TREE",
        "Tell whether two repositories are equal",
        RepoOption::Unknown
    ),
    command!(
        completions,
        "completions",
        "SHELL",
        "Print completions for bash, fish or zsh",
        RepoOption::Unknown,
        |matches, context, all| completions::run(from_matches(matches)?, context, all)
    ),
    #[cfg(not(feature = "compose"))]
    left_out("compose", "this osier is built without the feature 'compose'"),
    #[cfg(feature = "compose")]
    Builtin {
        name: "compose",
        arguments: "",
        about: "Packages to a published tree",
        action: Action::Group(compose::COMMANDS),
    },
    command!(
        config,
        "config",
        "(get KEY|set KEY VALUE|unset KEY)",
        "Change repo configuration settings"
    ),
    command!(
        diff,
        "diff",
        "REV_OR_DIR REV_OR_DIR",
        "Compare directory TARGETDIR against revision REV"
    ),
    command!(du, "du", "[REV...]", "Tell what refs take of the repository"),
    command!(export, "export", "COMMIT", "Stream COMMIT to stdout in tar format"),
    command!(find_object, "find-object", "CHECKSUM[.TYPE]", "Find what uses an object"),
    #[cfg(feature = "pull")]
    command!(
        find_remotes,
        "find-remotes",
        "COLLECTION-ID REF [COLLECTION-ID REF...]",
        "Find remotes to serve the given refs"
    ),
    #[cfg(not(feature = "pull"))]
    left_out("find-remotes", "this osier is built without the feature 'pull'"),
    command!(
        create_usb,
        "create-usb",
        "MOUNT-PATH COLLECTION-ID REF [COLLECTION-ID REF...]",
        "Copy the refs to a USB stick"
    ),
    command!(fsck, "fsck", "[DEST]", "Check the repository for consistency"),
    command!(gpg_sign, "gpg-sign", "COMMIT KEY-ID...", "Sign a commit"),
    command!(init, "init", "", "Initialize a new empty repository"),
    command!(log, "log", "REV", "Show log starting at commit or ref"),
    command!(ls, "ls", "COMMIT [PATH...]", "List file paths"),
    command!(
        man,
        "man",
        "DIR",
        "Write man pages into a directory",
        RepoOption::Unknown,
        |matches, _, all| man::run(from_matches(matches)?, all)
    ),
    #[cfg(feature = "http")]
    command!(metalink, "metalink", "", "Write the metalink of the summary"),
    #[cfg(not(feature = "http"))]
    left_out("metalink", "this osier is built without the feature 'http'"),
    command!(prune, "prune", "[DEST]", "Search for unreachable objects"),
    command!(pull_local, "pull-local", "SRC_REPO [REFS...]", "Copy data from SRC_REPO"),
    #[cfg(feature = "pull")]
    command!(pull, "pull", "REMOTE [BRANCH...]", "Download data from remote repository"),
    #[cfg(not(feature = "pull"))]
    left_out("pull", "this osier is built without the feature 'pull'"),
    command!(push, "push", "DEST [REF...]", "Publish commits"),
    command!(
        receive,
        "receive",
        "[PATH]",
        "Receive what is pushed from another machine",
        RepoOption::Unknown
    ),
    command!(refs, "refs", "[PREFIX]", "List refs"),
    Builtin {
        name: "remote",
        arguments: "",
        about: "Remote commands that may involve internet access",
        action: Action::Group(remote::COMMANDS),
    },
    command!(reset, "reset", "REF COMMIT", "Reset a REF to a previous COMMIT"),
    command!(rev_parse, "rev-parse", "REV", "Output the target of a rev"),
    #[cfg(feature = "serve")]
    command!(serve, "serve", "", "Serve the repository over HTTP"),
    #[cfg(not(feature = "serve"))]
    left_out("serve", "this osier is built without the feature 'serve'"),
    command!(sign, "sign", "COMMIT KEY-ID...", "Sign a commit"),
    command!(show, "show", "OBJECT", "Output a metadata object"),
    #[cfg(feature = "delta")]
    Builtin {
        name: "static-delta",
        arguments: "",
        about: "Static delta related commands",
        action: Action::Group(static_delta::COMMANDS),
    },
    #[cfg(not(feature = "delta"))]
    left_out("static-delta", "this osier is built without the feature 'delta'"),
    command!(summary, "summary", "", "Manage summary metadata"),
    #[cfg(feature = "http")]
    command!(trivial_httpd, "trivial-httpd", "[DIR]", "Simple webserver", RepoOption::Unknown),
    #[cfg(not(feature = "http"))]
    left_out("trivial-httpd", "this osier is built without the feature 'http'"),
];
