//! Command lines for both programs, see `Pair::line` for their syntax. Every script but those named
//! `init...` starts in a fresh repository of the mode that is being tried.

/// A name that says what is tried, and the lines.
pub type Script = (&'static str, &'static [&'static str]);

/// Scripts in which osier does otherwise on purpose: the modes, the name, and what differs. A row
/// that no longer holds makes the test fail, so this list only shrinks.
pub const OPEN: &[(&str, &str, &str)] = &[
    ("archive bare bare-user bare-user-only", "init does not make parents", "ours says which path"),
    (
        "bare-user-only",
        "hard links into the repository are reused",
        "more cache hits: upstream reads such files again",
    ),
];

/// All scripts but those of commits.
pub const SCRIPTS: &[Script] = &[
    // init and opening
    (
        "init twice changes nothing",
        &["init --mode=archive", "init --mode=bare", "config get core.mode"],
    ),
    ("init defaults to bare", &["init", "config get core.mode"]),
    (
        "init with a collection id",
        &[
            "init --mode=archive-z2 --collection-id=org.example.Main",
            "config get core.collection-id",
        ],
    ),
    ("init refuses a bad collection id", &["init --collection-id=nodots", "init --mode=archive"]),
    ("init refuses a bad mode", &["init --mode=squashed", "init --mode=archive"]),
    (
        "init does not make parents",
        &[
            "init",
            "raw: --repo=a/b/c init",
            "raw: --repo=fresh init --mode=archive",
            "raw: --repo=fresh refs",
        ],
    ),
    (
        "a path that is no repository is refused",
        &["raw: --repo=nowhere refs", "raw: --repo=../body refs", "raw: --repo=../tree refs"],
    ),
    (
        "the repository is found in the current directory",
        &["sh: cd repo && $OSTREE refs", "raw: refs"],
    ),
    (
        "OSTREE_REPO names the repository",
        &["OSTREE_REPO=repo raw: config get core.mode", "OSTREE_REPO=nowhere raw: refs"],
    ),
    // config
    (
        "config get, set and unset",
        &[
            "config get core.repo_version",
            "config set core.min-free-space-percent 5",
            "config get core.min-free-space-percent",
            "config unset core.min-free-space-percent",
            "config unset core.min-free-space-percent",
            "config get core.min-free-space-percent",
            "config get nogroup.key",
            "config get nodot",
            "config get",
            "config",
            "config bogus a b",
            "config set core.fsync",
            "config get a b c",
            "config --group='remote \"x\"' set url http://example.com",
            "config --group='remote \"x\"' get url",
            "config --group=core get mode",
            "config set core.x ' leading and \\ back'",
            "config get core.x",
        ],
    ),
    (
        "config is rewritten with comments dropped and order kept",
        &[
            "sh: printf '# top\\n\\n[zz]\\nb=1\\n\\n# c\\na=x;y;\\n' >> repo/config",
            "config set zz.c new",
            "config set aa.k v",
            "config get zz.a",
        ],
    ),
    // refs
    (
        "refs are listed, made and deleted",
        &[
            "commit -b a/main --timestamp=@1 --tree=dir=../tree2",
            "refs --create=a/tag a/main",
            "refs --create=a/tag a/main",
            "refs --create=b a/main",
            "refs --create=a/b/c a/main",
            "refs",
            "refs a",
            "refs --list a",
            "refs a b",
            "refs nothing",
            "refs --delete a/tag",
            "refs",
            "refs --delete",
            "refs --delete nothing",
            "refs --delete a",
            "refs",
            "refs --create=x missing",
            "refs --create=-bad b",
            "refs --create='a b' b",
            "refs --create=b/c b",
            "refs --create=origin:remote b",
            "refs",
            "refs origin:",
            "refs --list origin:",
            "rev-parse origin:remote",
            "rev-parse origin/remote",
            "rev-parse remote",
            "rev-parse ''",
        ],
    ),
    (
        "refs --force replaces",
        &[
            "commit -b a --timestamp=@1 --tree=dir=../tree2",
            "commit -b a --timestamp=@2 --tree=dir=../tree2",
            "refs --create=t a^",
            "refs --create=t a",
            "refs --force --create=t a",
            "rev-parse t a a^",
        ],
    ),
    (
        "a ref below a ref and a ref above one",
        &[
            "commit -b t --timestamp=@1 --tree=dir=../tree2",
            "refs --create=t/u t",
            "refs --create=a/b t",
            "refs --create=a t",
            "refs --delete a/b",
            "refs --create=a t",
            "refs",
        ],
    ),
    (
        "aliases",
        &[
            "commit -b dir/main --timestamp=@1 --tree=dir=../tree2",
            "refs -A --create=alias dir/main",
            "refs -A --create=deep/er/alias dir/main",
            "refs -A",
            "refs",
            "refs -A deep",
            "rev-parse alias",
            "refs --delete dir/main",
            "commit -b other --timestamp=@2 --tree=dir=../tree2",
            "refs -A --create=alias other",
            "refs -A",
            "refs -A --create=broken missing",
            "refs --delete alias",
            "refs -A",
            "summary -u",
            "summary --raw",
        ],
    ),
    (
        "init for collection refs",
        &[
            "init --mode=archive --collection-id=org.example.Main",
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "refs -c --create=org.example.Other:other/ref main",
            "refs -c --create=org.example.Main:second main",
            "refs -c",
            "refs -c org.example.Other",
            "refs",
            "refs -c --create=bad:ref main",
            "refs -c --delete org.example.Other",
            "refs -c",
            "rev-parse other/ref",
        ],
    ),
    (
        "revs",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "commit -b main --timestamp=@2 --tree=dir=../tree",
            "rev-parse main main^",
            "rev-parse main^^",
            "rev-parse ''",
            "rev-parse e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "rev-parse E3B0",
            "rev-parse g",
            "rev-parse -- -x",
            "rev-parse -S",
            "rev-parse",
            "rev-parse main^x",
            "rev-parse remote:main",
        ],
    ),
    (
        "reset",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "commit -b main --timestamp=@2 --tree=dir=../tree",
            "reset main main^",
            "log main",
            "reset missing main",
            "reset main missing",
            "reset main",
            "reset",
        ],
    ),
    (
        "garbage in refs",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "sh: printf 'nonsense\\n' > repo/refs/heads/bad; : > repo/refs/heads/empty; cp \
             repo/refs/heads/main 'repo/refs/heads/white'; printf '  \\n' >> \
             repo/refs/heads/white; touch repo/refs/heads/.hidden",
            "refs",
            "rev-parse bad",
            "rev-parse empty",
            "rev-parse white",
            "log bad",
            "refs --delete bad",
            "sh: rm -f repo/refs/heads/bad repo/refs/heads/empty repo/refs/heads/.hidden",
        ],
    ),
    // reading
    (
        "show of what is not there",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "show missing",
            "show e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "show",
            "log missing",
            "log",
            "ls missing",
            "ls",
            "cat missing /x",
            "cat main",
            "cat",
            "checksum ../none",
            "checksum",
        ],
    ),
    (
        "show --print-variant-type",
        &[
            "show --print-variant-type=s ../body",
            "sh: printf 'a\\0' > s; printf '\\001\\000\\000\\000' > u",
            "show --print-variant-type=s s",
            "show --print-variant-type=u u",
            "show --print-variant-type=u none",
        ],
    ),
    (
        "ls of files, links and directories",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree",
            "ls main /etc/link",
            "ls main /etc/passwd /usr",
            "ls -d main /usr",
            "ls -C main /usr/share/doc",
            "ls -X main /usr/share",
            "ls main usr",
            "ls main /etc/",
            "ls main /etc/link/x",
            "cat main /etc/link",
            "cat main /etc/dangling",
            "cat main etc/passwd /usr/bin/tool",
            "ls -R --nul-filenames-only main /usr",
        ],
    ),
    (
        "history that was not fetched",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "commit -b main --timestamp=@2 --tree=dir=../tree",
            "sh: c=$($OSTREE --repo=repo rev-parse main^); rm repo/objects/$(echo $c | cut \
             -c1-2)/$(echo $c | cut -c3-).commit",
            "log main",
            "log --raw main",
        ],
    ),
    (
        "checksum",
        &[
            "raw: checksum ../tree/etc/passwd",
            "raw: checksum ../tree/etc/link",
            "raw: checksum ../tree",
            "raw: checksum --ignore-xattrs ../tree/usr/share/labelled",
            "raw: checksum ../tree/usr/share/labelled",
        ],
    ),
    // summary
    ("summary needs an option", &["summary", "summary --raw", "summary -v"]),
    // What `summary -v` says of signatures is newer than 2022.7.
    ("summary -u of nothing", &["summary -u", "sh: test -f repo/summary"]),
    (
        "summary of some refs",
        &[
            "commit -b main --add-metadata-string=version=1.2 --timestamp=@1700000000 \
             --tree=dir=../tree2",
            "commit -b a/b/c --timestamp=@1700000001 --tree=dir=../tree2",
            "refs --create=o:remote main",
            "summary -u",
        ],
    ),
    (
        "summary with metadata",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "summary -u -m a=1 --add-metadata='b=\"x\"' \
             --add-metadata='ostree.summary.expires=uint64 1'",
            "summary -u -m broken",
            "summary -u -m 'x=[1,'",
        ],
    ),
    (
        "summary of many refs",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "sh: for i in $(seq 130); do cp repo/refs/heads/main repo/refs/heads/r$i; done",
            "summary -u",
        ],
    ),
    (
        "init for a summary with collections",
        &[
            "init --mode=archive --collection-id=org.example.Main",
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "refs -c --create=org.example.Other:other/ref main",
            "refs -c --create=org.example.Third:x main",
            "SOURCE_DATE_EPOCH=1700000000 summary -u",
            "refs -c",
        ],
    ),
    (
        "auto-update-summary",
        &[
            "config set core.auto-update-summary true",
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "sh: test -f repo/summary",
            "refs --create=x main",
            "refs --delete x",
            "reset main main",
        ],
    ),
    // fsck
    (
        "fsck of a sound repository",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree",
            "fsck",
            "fsck -q",
            "fsck -a",
            "fsck --verify-bindings",
            "fsck --verify-back-refs",
        ],
    ),
    (
        "fsck of wrong bindings",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "refs --create=other main",
            "fsck",
            "fsck --verify-bindings",
            "refs --delete main",
            "fsck --verify-back-refs",
        ],
    ),
];
