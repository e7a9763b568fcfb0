//! The content of man pages besides the options: a short description, examples, variables and
//! files.

/// The page of a command.
pub(super) struct Page {
    /// Its full name; empty for the program.
    pub(super) command: &'static str,
    /// Its description.
    pub(super) details: &'static str,
    /// Examples: a description and a command line, which the tests run.
    pub(super) examples: &'static [(&'static str, &'static str)],
    /// Variables, besides those of every command.
    pub(super) environment: &'static [Variable],
    /// Files besides those of every command.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Related commands.
    pub(super) see_also: &'static [&'static str],
}

/// The name of a variable and what it does.
pub(super) type Variable = (&'static str, &'static str);

/// Variables of every command that works on a repository.
pub(super) const OF_REPO: &[Variable] = &[
    ("OSTREE_REPO", "The repository where --repo is not given and the current directory is none."),
    (
        "OSTREE_SYSROOT",
        "The root below which ostree/repo is the repository, where neither says which one; / by \
         default.",
    ),
];

const COMPOSE_GPG: Variable =
    ("OSIER_GPG", "The gpg program, if gpg-program in the configuration names none.");
const EPOCH: Variable = (
    "SOURCE_DATE_EPOCH",
    "The time of the commit or summary in seconds since 1970, where no option gives it.",
);
pub(super) const DEFLATE: Variable = (
    "OSIER_DEFLATE",
    "How new objects of archives are compressed: fast, or zlib for the very bytes that ostree \
     writes.",
);

/// Files of every command that works on a repository.
pub(super) const FILES_OF_REPO: &[(&str, &str)] = &[
    ("/ostree/repo", "The repository of the system."),
    ("REPO/config", "The mode and the settings of a repository; osier-config(1) changes it."),
    ("REPO/objects/", "Commits, dirtrees, dirmetas and files by their checksums."),
    ("REPO/refs/", "Refs: heads are the repository's own, remotes those of others."),
];

const SUMMARY: (&str, &str) = ("REPO/summary", "What the repository offers to those who pull.");

/// All pages.
pub(super) const PAGES: &[Page] = &[
    Page {
        command: "",
        details: "Makes, reads and maintains OSTree repositories. Called by the name ostree it is \
            a drop-in for that program, without its admin commands. The repository is given as \
            --repo=PATH, before the command or behind it.",
        examples: &[
            (
                "Make a repository, commit a tree, and describe what is there to those who pull:",
                "mkdir new && osier init --repo=new --mode=archive\nosier --repo=new commit -b \
                 exampleos/22/x86_64/host -s 'Compose 22.1' rootfs\nosier --repo=new summary -u",
            ),
            (
                "Complete commands, options and values in this shell:",
                "source <(osier completions bash)",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &[],
    },
    Page {
        command: "bench",
        details: "Runs the same commands with osier and with the ostree of this machine in turns, \
            and shows the median times. Each step checks that both come to the same result.",
        examples: &[
            (
                "Measure two steps three times each with a tree of your own:",
                "osier bench --only=commit --only=fsck --rounds=3 --tree=/srv/rootfs",
            ),
            ("Measure osier alone, as JSON:", "osier bench --no-ostree --json"),
            (
                "Measure pulls over HTTP with a round trip of 100 ms (needs nginx and openssl):",
                "osier bench --remote --objects=20000 --rtt=100",
            ),
        ],
        environment: &[("PATH", "Where ostree, nginx and openssl are looked for.")],
        files: &[("/var/tmp", "Trees and repositories are made here, and removed.")],
        see_also: &["compare"],
    },
    Page {
        command: "cat",
        details: "Prints the content of files of a commit, one after the other.",
        examples: &[(
            "Print a file:",
            "osier --repo=repo cat exampleos/22/x86_64/host /etc/os-release",
        )],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["ls", "show"],
    },
    Page {
        command: "checkout",
        details: "Makes a directory of a commit, which must not be there unless an option says \
            what to do then. Where the repository is of a bare mode and on the same file system, \
            files are hard links to its objects: do not edit them in place.",
        examples: &[
            (
                "Check out as an ordinary user:",
                "osier --repo=repo checkout -U exampleos/22/x86_64/host host",
            ),
            (
                "Only a part of the tree:",
                "osier --repo=repo checkout -U --subpath=/etc exampleos/22/x86_64/host etc",
            ),
            (
                "Lay a commit over what is there:",
                "mkdir -p layers && osier --repo=repo checkout -U --union exampleos/22/x86_64/host \
                 layers",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["commit", "export", "ls"],
    },
    Page {
        command: "checksum",
        details: "Prints the checksum that a file or directory would have as an object.",
        examples: &[("Print the checksum of a file:", "osier checksum rootfs/etc/os-release")],
        environment: &[],
        files: &[],
        see_also: &["commit", "diff"],
    },
    Page {
        command: "commit",
        details: "Records directories, archives and other commits, laid over each other, as a \
            commit, and lets a branch point to it. Prints its checksum. A kill at any moment \
            leaves the branch as it was.",
        examples: &[
            (
                "Commit a directory:",
                "osier --repo=repo commit -b exampleos/22/x86_64/host -s 'Compose 22.3' rootfs",
            ),
            (
                "Lay an archive over the branch, with all files owned by root:",
                "tar -C rootfs -cf layer.tar .\nosier --repo=repo commit -b layered --owner-uid=0 \
                 --owner-gid=0 --tree=ref=exampleos/22/x86_64/host --tree=tar=layer.tar",
            ),
            (
                "Do nothing if nothing has changed, and report the result to a program:",
                "osier --repo=repo commit -b exampleos/22/x86_64/host --skip-if-unchanged --json \
                 rootfs",
            ),
            (
                "Commit a tree again and again without reading what has not changed:",
                "osier --repo=repo commit -b nightly --stat-cache rootfs",
            ),
        ],
        environment: &[
            OF_REPO[0],
            OF_REPO[1],
            EPOCH,
            DEFLATE,
            (
                "OSTREE_EDITOR, VISUAL, EDITOR",
                "The editor of --editor, the first that is set; vi otherwise.",
            ),
            ("TZ", "The time zone of --timestamp."),
        ],
        files: &[
            FILES_OF_REPO[0],
            FILES_OF_REPO[1],
            FILES_OF_REPO[2],
            FILES_OF_REPO[3],
            ("REPO/tmp/cache/stat-cache", "What --stat-cache remembers."),
            (
                "REPO/tmp/staging-*/",
                "Objects on their way in. What a killed commit leaves there is taken over by the \
                 next.",
            ),
        ],
        see_also: &["checkout", "prune", "summary"],
    },
    Page {
        command: "compare",
        details: "Compares objects, refs, summaries, detached metadata and tombstones of two \
            repositories, or of what osier and another program make of one tree. DEST is where \
            push has published to: of a bucket, s3://BUCKET[/PREFIX], refs, names of objects and \
            deltas, and detached metadata are compared.",
        examples: &[
            ("Compare two repositories:", "cp -a repo copy && osier compare repo copy"),
            (
                "See whether osier and ostree commit a tree alike, as root:",
                "osier compare --with=/usr/bin/ostree /srv/rootfs",
            ),
        ],
        environment: &[],
        files: &[("/var/tmp", "Repositories of --with are made here, and removed.")],
        see_also: &["diff", "fsck"],
    },
    Page {
        command: "completions",
        details: "Prints a script that makes a shell complete commands, options and values: refs, \
            commits, remotes, modes, paths in a commit. It asks osier at each press of the tab \
            key, so it never gets old. Where ostree is a link to osier it is completed, too.",
        examples: &[
            ("For this session of bash:", "source <(osier completions bash)"),
            (
                "For every session of bash:",
                "mkdir -p ~/.local/share/bash-completion/completions\nosier completions bash > \
                 ~/.local/share/bash-completion/completions/osier",
            ),
            (
                "For every session of zsh, where the directory is in $fpath:",
                "mkdir -p ~/.zsh/completions\nosier completions zsh > ~/.zsh/completions/_osier",
            ),
            (
                "For every session of fish:",
                "mkdir -p ~/.config/fish/completions\nosier completions fish > \
                 ~/.config/fish/completions/osier.fish",
            ),
        ],
        environment: &[("PATH", "The scripts call osier by this name.")],
        files: &[
            (
                "~/.local/share/bash-completion/completions/osier",
                "Where bash-completion looks for the script.",
            ),
            ("~/.config/fish/completions/osier.fish", "Where fish looks for it."),
        ],
        see_also: &["man"],
    },
    Page {
        command: "compose",
        details: "Composes trees from packages with rpm-ostree, publishes them, and builds disk \
            images of them with ImageFactory.",
        examples: &[(
            "Compose and publish:",
            "osier compose check --config compose.conf\nosier compose tree --config compose.conf",
        )],
        environment: &[],
        files: COMPOSE_FILES,
        see_also: &["compose-check", "compose-tree", "compose-publish", "compose-image"],
    },
    Page {
        command: "compose check",
        details: "Checks the configuration, the treefile, the programs, the keys that sign and the \
            repository, and reports every problem at once. Writes nothing.",
        examples: &[("Check before a run:", "osier compose check --config compose.conf")],
        environment: &[("PATH", "Where programs are looked for."), COMPOSE_GPG],
        files: COMPOSE_FILES,
        see_also: &["compose-tree", "compose-image"],
    },
    Page {
        command: "compose image",
        details: "Builds a disk image of the published tree, verifies it, and puts it into the \
            output directory with its checksum file.",
        examples: &[
            ("See what would be run:", "osier compose image --config compose.conf --dry-run"),
            ("Build the image:", "osier compose image --config compose.conf"),
        ],
        environment: &[("PATH", "Where imagefactory and qemu-img are looked for.")],
        files: COMPOSE_FILES,
        see_also: &["compose-tree", "compose-publish"],
    },
    Page {
        command: "compose publish",
        details: "Publishes a commit that was composed earlier: verifies it, signs it if the \
            configuration has keys, moves the ref, and updates the summary.",
        examples: &[(
            "Publish what --no-publish left:",
            "osier compose publish --config compose.conf \
             2cbfd331528a60a3d018621656cd2d53faa8e732d1ea845a901cc4fce04dc578",
        )],
        environment: &[("PATH", "Where programs that sign are looked for."), COMPOSE_GPG],
        files: COMPOSE_FILES,
        see_also: &["compose-tree", "summary"],
    },
    Page {
        command: "compose tree",
        details: "Composes a tree with rpm-ostree, verifies the commit, signs it if the \
            configuration has keys, and publishes it: ref and summary move together, and only to a \
            whole commit.",
        examples: &[
            (
                "See the command line that would be run:",
                "osier compose tree --config compose.conf --dry-run",
            ),
            (
                "Compose in a job that does more when something has changed:",
                "osier compose tree --config compose.conf --unchanged-exit-77 --json",
            ),
        ],
        environment: &[
            ("PATH", "Where rpm-ostree and programs that sign are looked for."),
            COMPOSE_GPG,
            EPOCH,
        ],
        files: COMPOSE_FILES,
        see_also: &["compose-check", "compose-publish", "compose-image"],
    },
    Page {
        command: "config",
        details: "Reads and changes settings of the repository. A key is GROUP.KEY; where the \
            group has a dot in it, it is given with --group.",
        examples: &[
            ("Print the mode:", "osier --repo=repo config get core.mode"),
            (
                "Keep a tenth of the disk free:",
                "osier --repo=repo config set core.min-free-space-percent 10",
            ),
            (
                "Print the address of a remote:",
                "osier --repo=repo config --group='remote \"origin\"' get url",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["init", "remote-add"],
    },
    Page {
        command: "diff",
        details: "Lists what was added (A), removed (D) and modified (M) between two commits, a \
            commit and a directory, or two directories. With one REV it is compared with its \
            parent.",
        examples: &[
            (
                "What the last commit changed:",
                "osier --repo=repo diff exampleos/22/x86_64/host^ exampleos/22/x86_64/host",
            ),
            ("The same as JSON:", "osier --repo=repo diff --json exampleos/22/x86_64/host"),
            (
                "How much of it is new, and what a client fetches with and without a static delta:",
                "osier --repo=repo diff --sizes exampleos/22/x86_64/host",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["compare", "ls"],
    },
    Page {
        command: "export",
        details: "Writes a commit as a tar archive to standard output or a file.",
        examples: &[
            ("Write an archive:", "osier --repo=repo export -o host.tar exampleos/22/x86_64/host"),
            (
                "List one directory:",
                "osier --repo=repo export --subpath=/etc --prefix=etc/ exampleos/22/x86_64/host | \
                 tar -t",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["checkout", "commit"],
    },
    Page {
        command: "fsck",
        details: "Checks that every commit has all that it reaches, and that each object is what \
            its name says. With DEST it checks what push has published there instead, and of a \
            bucket, s3://BUCKET[/PREFIX], reports all that is wrong and changes nothing. With --repair \
            it fetches what is damaged or missing from each SOURCE in turn: a remote, whose \
            demands on signatures its commits must fulfil, or the path or URL of a repository. A \
            damaged object stays until a verified copy takes its place. What no source has is \
            listed with the commits, refs and paths that need it. What a commit that is partial on \
            purpose lacks is not fetched. --resume keeps a record of what is verified, and goes on from it.",
        examples: &[
            ("Check everything, and list all that is wrong:", "osier --repo=repo fsck --all"),
            ("A record for each finding, for programs:", "osier --repo=repo fsck --json"),
            (
                "Remove damaged objects, so that a pull fetches them again:",
                "osier --repo=repo fsck --delete",
            ),
            (
                "Fetch what is damaged from a mirror, and what that lacks from a copy:",
                "osier --repo=repo fsck --repair --from=origin --from=/srv/copy",
            ),
            ("What is lost, without a source:", "osier --repo=repo fsck --repair"),
            ("What would be fetched:", "osier --repo=repo fsck --repair --dry-run --from=origin"),
        ],
        environment: OF_REPO,
        files: &[
            FILES_OF_REPO[0],
            FILES_OF_REPO[1],
            FILES_OF_REPO[2],
            FILES_OF_REPO[3],
            ("REPO/state/COMMIT.commitpartial", "Marks a commit whose objects are not all there."),
            ("REPO/tmp/cache/fsck-progress", "How far a check with --resume has come."),
        ],
        see_also: &["prune", "compare", "find-object", "pull"],
    },
    Page {
        command: "gpg-sign",
        details: "Adds OpenPGP signatures to a commit, or removes them. A KEY-ID is whatever gpg \
            takes for a key: a fingerprint, an id, a mail address. gpg signs, with its agent; only \
            file:PATH, an exported secret key without passphrase, needs no gpg. With --attach or \
            --exec the secret key can stay where it is. Such a signature is stored if no known \
            key refutes it; with --keys-file, only if it is valid with a key in FILE.",
        examples: &[
            (
                "Remove the signature of a key, if there is one:",
                "osier --repo=repo gpg-sign -d exampleos/22/x86_64/host release@example.com",
            ),
            (
                "Write what is to be signed elsewhere, for --attach:",
                "osier --repo=repo sign --payload-out=payload exampleos/22/x86_64/host",
            ),
        ],
        environment: &[
            OF_REPO[0],
            OF_REPO[1],
            ("OSIER_GPG", "The gpg program."),
            ("OSTREE_GPG_HOME", "The directory of the system's keyrings."),
            ("SOURCE_DATE_EPOCH", "The time of a signature by file:PATH in seconds since 1970."),
            OF_SIGNERS,
        ],
        files: &[
            FILES_OF_REPO[0],
            FILES_OF_REPO[1],
            FILES_OF_REPO[2],
            ("REPO/*.gpg", "Keys that signatures of --attach and --exec are verified with."),
            ("/usr/share/ostree/trusted.gpg.d/", "The system's keyrings."),
        ],
        see_also: &["sign", "show"],
    },
    Page {
        command: "init",
        details: "Makes a repository. One that is there already stays as it is.",
        examples: &[
            (
                "A repository to be served:",
                "mkdir served && osier --repo=served init --mode=archive",
            ),
            (
                "One to work with as an ordinary user:",
                "mkdir work && osier --repo=work init --mode=bare-user",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["config", "commit"],
    },
    Page {
        command: "log",
        details: "Lists a commit and its parents, the newest first.",
        examples: &[("The history of a branch:", "osier --repo=repo log exampleos/22/x86_64/host")],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["show", "diff"],
    },
    Page {
        command: "ls",
        details: "Lists files of a commit: type and mode, owner, group, size and path.",
        examples: &[
            ("The whole tree:", "osier --repo=repo ls -R exampleos/22/x86_64/host"),
            (
                "One directory with checksums:",
                "osier --repo=repo ls -C exampleos/22/x86_64/host /etc",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["cat", "show"],
    },
    Page {
        command: "man",
        details: "Writes the man pages of osier and of each of its commands into a directory, \
            which is made if need be.",
        examples: &[(
            "Install the pages for yourself:",
            "osier man ~/.local/share/man/man1\nMANPATH=~/.local/share/man: man -w osier-commit || \
             true",
        )],
        environment: &[(
            "MANPATH",
            "Where man(1) looks for pages; ~/.local/share/man is often there.",
        )],
        files: &[
            ("~/.local/share/man/man1/", "The pages of one user."),
            ("/usr/local/share/man/man1/", "Those of all users."),
        ],
        see_also: &["completions"],
    },
    Page {
        command: "prune",
        details: "Deletes objects that no ref reaches. Without --refs-only all commits are kept, \
            whether or not a ref names them. With DEST, where push has published to, objects \
            there are deleted that no ref there reaches; in a bucket, s3://BUCKET[/PREFIX], only \
            --depth and --guard decide what is kept. With --policy a key file decides. A group \
            [refs \"PATTERN\"] is for the refs that match and that no group before it matches; * \
            stands for characters but slashes, ** for any. keep=N keeps so many commits of each, \
            keep-younger-than=30d those down to the first that is older, and \
            keep-tagged=KEY;KEY=VALUE those with such metadata. Refs without a group are kept \
            whole. [deltas \"PATTERN\"] has the same keys for the commits that static deltas lead \
            to, and sources=N for the newest commits that they come from. [unreferenced] has \
            keep-younger-than for what no ref leads to. Others can write meanwhile.",
        examples: &[
            ("See what would go:", "osier --repo=repo prune --refs-only --no-prune"),
            (
                "Keep the last two commits of each branch:",
                "osier --repo=repo prune --refs-only --depth=1",
            ),
            (
                "Delete commits that are older than a month, but no branch:",
                "osier --repo=repo prune --keep-younger-than='1 month ago'",
            ),
            (
                "See what each rule of a policy would remove:",
                "printf '[refs \"exampleos/**\"]\\nkeep=10\\nkeep-younger-than=30d\\n' > policy && \
                 osier --repo=repo prune --policy=policy --dry-run",
            ),
            (
                "Keep static deltas from three commits to each commit, and from nothing:",
                "osier --repo=repo prune --refs-only --deltas-keep=3",
            ),
            (
                "See what would go where push has published to:",
                "osier prune --dry-run file://$PWD/server",
            ),
        ],
        environment: &[OF_REPO[0], OF_REPO[1], ("TZ", "The time zone of --keep-younger-than.")],
        files: FILES_OF_REPO,
        see_also: &["fsck", "push", "refs"],
    },
    Page {
        command: "pull-local",
        details: "Copies commits with all that they reach from a repository on this machine; \
            objects are linked where that is possible. Without REFS all refs are copied.",
        examples: &[
            ("Copy a branch:", "osier --repo=mirror pull-local repo exampleos/22/x86_64/host"),
            (
                "Check each object, and note where it came from:",
                "osier --repo=mirror pull-local --untrusted --remote=origin repo \
                 exampleos/22/x86_64/host",
            ),
        ],
        environment: &[OF_REPO[0], OF_REPO[1], DEFLATE],
        files: FILES_OF_REPO,
        see_also: &["refs", "summary"],
    },
    Page {
        command: "refs",
        details: "Lists, makes and deletes refs.",
        examples: &[
            ("All refs with their commits:", "osier --repo=repo refs --list --revision"),
            (
                "Another name for a commit:",
                "osier --repo=repo refs --create=exampleos/22/x86_64/stable \
                 exampleos/22/x86_64/host",
            ),
            ("Delete it:", "osier --repo=repo refs --delete exampleos/22/x86_64/stable"),
        ],
        environment: OF_REPO,
        files: &[FILES_OF_REPO[0], FILES_OF_REPO[3], SUMMARY],
        see_also: &["rev-parse", "reset", "prune"],
    },
    Page {
        command: "reset",
        details: "Lets a ref point to another commit that is in the repository.",
        examples: &[(
            "Take back the last commit:",
            "osier --repo=repo reset exampleos/22/x86_64/host exampleos/22/x86_64/host^",
        )],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["refs", "log"],
    },
    Page {
        command: "rev-parse",
        details: "Prints the checksum of the commit that a rev stands for: a ref, REMOTE:REF, the \
            beginning of a checksum, each with any number of ^ for the parent.",
        examples: &[(
            "The parent of a branch's commit:",
            "osier --repo=repo rev-parse exampleos/22/x86_64/host^",
        )],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["refs", "show"],
    },
    Page {
        command: "sign",
        details: "Signs a commit, or verifies its signatures. A KEY is the key itself in base64: \
            the secret one to sign, the public one to verify. Keys better stay in files, since \
            others may see arguments. With --payload-out and --attach, or --exec, the secret key \
            can stay where it is.",
        examples: &[
            ("Make a key pair:", "osier sign --generate-key --out release"),
            (
                "Sign with it, and verify the signature:",
                "osier --repo=repo sign --keys-file=release.sec exampleos/22/x86_64/host\nosier \
                 --repo=repo sign --verify --keys-file=release.pub exampleos/22/x86_64/host",
            ),
            (
                "Have something else sign:",
                "osier --repo=repo sign --payload-out=payload exampleos/22/x86_64/host",
            ),
        ],
        environment: &[
            OF_REPO[0],
            OF_REPO[1],
            ("OSTREE_DUMMY_SIGN_ENABLED", "With 1 there are dummy signatures, for tests."),
            OF_SIGNERS,
        ],
        files: &[
            FILES_OF_REPO[0],
            FILES_OF_REPO[1],
            FILES_OF_REPO[2],
            (
                "/etc/ostree/trusted.TYPE, trusted.TYPE.d/",
                "Public keys that --verify takes where no others are given; also in \
                 /usr/share/ostree.",
            ),
            ("/etc/ostree/revoked.TYPE, revoked.TYPE.d/", "Those not to be trusted any longer."),
        ],
        see_also: &["gpg-sign", "show"],
    },
    Page {
        command: "show",
        details: "Prints an object: a commit by any rev, others by their checksums.",
        examples: &[
            ("A commit:", "osier --repo=repo show exampleos/22/x86_64/host"),
            (
                "Everything about it, for programs:",
                "osier --repo=repo show --json exampleos/22/x86_64/host",
            ),
            (
                "The keys of its metadata:",
                "osier --repo=repo show --list-metadata-keys exampleos/22/x86_64/host",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["log", "ls"],
    },
    Page {
        command: "summary",
        details: "Writes and reads the summary, the list of refs that those who pull see. A \
            program can sign it, or a key that is elsewhere: what --prepare has written is \
            published with its signature by --publish, unless a ref has moved. --sign-type=gpg \
            stands for OpenPGP with --exec and --attach. Such signatures are stored only if the \
            public keys do not refute them: those that are given, or else those of the system.",
        examples: &[
            ("Update it:", "osier --repo=repo summary -u"),
            ("Read it:", "osier --repo=repo summary --view"),
            (
                "Write what is to be signed elsewhere, for --publish=new --attach=FILE:",
                "osier --repo=repo summary -u --prepare=new",
            ),
        ],
        environment: &[OF_REPO[0], OF_REPO[1], EPOCH, OF_SIGNERS],
        files: &[FILES_OF_REPO[0], FILES_OF_REPO[1], FILES_OF_REPO[3], SUMMARY],
        see_also: &["refs", "compose-publish"],
    },
    Page {
        command: "trivial-httpd",
        details: "Serves the files below DIR, or below the current directory, over HTTP, for tests \
            of clients. It listens on the loopback unless --address says otherwise, serves what \
            every user may read, and follows no link that leads out of DIR. Without --port the \
            system chooses the port.",
        examples: &[(
            "Serve a repository in the background until it is deleted:",
            "osier trivial-httpd --daemonize --autoexit --port-file=port repo && rm -r repo",
        )],
        environment: &[],
        files: &[],
        see_also: &["remote-add", "pull-local"],
    },
];

const OF_SIGNERS: (&str, &str) = (
    "OSIER_SIGN_TYPE, OSIER_SIGN_KIND, OSIER_SIGN_CHECKSUM",
    "Set for the program of --exec: the signature type, commit or summary, and the SHA-256 of \
     what it is to sign.",
);

const COMPOSE_FILES: &[(&str, &str)] = &[
    ("compose.conf", "The configuration; docs/compose.md of the sources describes all keys."),
    ("work/RUN/report.json", "What a run did; its logs are beside it."),
];
