//! The man pages of commands for those who run repositories.

use super::pages::{DEFLATE, FILES_OF_REPO, OF_REPO, Page};

/// The pages.
pub(super) const PAGES: &[Page] = &[
    Page {
        command: "du",
        details: "Counts objects and bytes on disk of refs (all of them, or those given, which may be \
        other revs), each with its history as far as it is there, or of their commits or \
        directories. An object counts once in each row. EXCLUSIVE is what no other ref has (with \
        --commits no other commit of any ref), so what would go with it. The last rows are the \
        objects of all rows together, those that no ref leads to, which prune --refs-only would \
        remove, and all. Commits count with their detached metadata; deltas and summaries do not \
        count. With --since the objects of REV do not count: what is left is what the next update \
        brings to those who have REV.",
        examples: &[
            ("What each ref takes:", "osier du --repo=repo"),
            (
                "What the next update costs:",
                "osier du --repo=repo --since=exampleos/22/x86_64/host^ \
             exampleos/22/x86_64/host",
            ),
            (
                "The directories of a tree, with the size of their content:",
                "osier du --repo=repo --max-depth=2 --inflated exampleos/22/x86_64/host",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["diff", "find-object", "prune"],
    },
    Page {
        command: "find-object",
        details: "Lists the commits that have an object, the youngest first, with the refs that lead \
        to each and the paths of the object in its tree. CHECKSUM is that of a file, dirtree, \
        dirmeta or commit, as fsck and errors name it; .TYPE may follow. Commits in no ref are \
        listed, too. What is damaged is warned of, and may hide paths. The exit status is 1 if the \
        repository neither has nor uses the object.",
        examples: &[
            (
                "Which commits and paths a file belongs to:",
                "osier find-object --repo=repo $(osier ls --repo=repo -C exampleos/22/x86_64/host \
             /etc/os-release | awk '{print $5}')",
            ),
            (
                "What is lost with a damaged object that fsck has named:",
                "osier find-object --repo=/srv/repo \
             5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03.file",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["fsck", "ls", "prune"],
    },
    Page {
        command: "metalink",
        details: "Writes the metalink of the repository's summary: its size, SHA-256 and SHA-512, \
        and the mirrors that have it. A remote with metalink=URL of this document pulls from these \
        mirrors, and refuses a summary that is not the one described. A mirror is the URL of a \
        repository; its country in two letters, or -, and a preference from 1 to 100 may follow. \
        The mirrors of the highest preference come first. Without one the first mirror has 100, \
        and each one after it one less. FILE of --mirrors has one a line; # begins a comment. \
        FILE of --output is replaced as a whole.",
        examples: &[
            (
                "A metalink with two mirrors:",
                "osier metalink --repo=repo --mirror='https://mirror.example.org/os DE' \
             --mirror='http://mirror.example.net/pub/os US 50'",
            ),
            (
                "What would be written, as JSON:",
                "osier metalink --repo=repo --mirror=https://mirror.example.org/os \
             --output=metalink.xml --dry-run --json",
            ),
        ],
        environment: OF_REPO,
        files: FILES_OF_REPO,
        see_also: &["pull", "remote", "summary"],
    },
    PUSH,
    RECEIVE,
    SERVE,
];

const PUSH: Page = Page {
    command: "push",
    details: "Publishes refs of the repository, all of its own if none are given, with \
        everything that their commits reach. DEST is file:///PATH, a directory of this machine, \
        s3://BUCKET[/PREFIX], a bucket of a store that speaks S3 (in builds with the feature s3), \
        ssh://[USER@]HOST[:PORT]/PATH, a directory of another machine, where ssh(1) starts osier \
        receive, or NAME, for the url in the group [push \"NAME\"] of the config, which can have \
        endpoint, region, profile, instance-credentials and receiver besides. It becomes an \
        archive if there is nothing. The repository here can have any mode. \
        Objects that the refs of DEST say are there are not sent; where they say too little the \
        objects there are listed. Content goes first, then metadata, commits, static deltas, \
        refs, and the summary at last, so a push can be killed at any moment, and the next one \
        goes on where it ended. Refs only move forward, and only if nobody else has moved them \
        meanwhile: any number of builders can push at the same time. The summary is made of the \
        refs that are there; one that is signed is only replaced with a new signature.",
    examples: &[
        ("What would be sent:", "osier push --repo=repo --dry-run file://$PWD/published"),
        ("Publish everything:", "osier push --repo=repo file://$PWD/published"),
        (
            "One ref, with all of its history:",
            "osier push --repo=repo --depth=-1 file://$PWD/published exampleos/22/x86_64/host",
        ),
        ("To another machine:", "osier push --repo=/srv/repo ssh://builder@example.org/srv/os"),
        (
            "Into a bucket:",
            "osier push --repo=/srv/repo --endpoint=https://store.example.org s3://published/os",
        ),
    ],
    environment: &[
        OF_REPO[0],
        OF_REPO[1],
        DEFLATE,
        (
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, AWS_REGION, \
             AWS_ENDPOINT_URL, AWS_CA_BUNDLE",
            "Credentials and settings for buckets, as the AWS tools read them.",
        ),
        (
            "OSIER_SSH",
            "A command line for a shell that is used in place of ssh, such as ssh -i KEY.",
        ),
    ],
    files: FILES_OF_REPO,
    see_also: &["pull", "pull-local", "receive", "static-delta", "summary"],
};

const RECEIVE: Page = Page {
    command: "receive",
    details: "Receives on standard input what osier push sends to ssh://HOST/PATH, and answers on \
        standard output; ssh(1) starts it. PATH is a directory that is an archive, or becomes one. \
        Every object is verified before it gets its name; a directory or commit is only taken \
        when all that it names is there, and a ref is only set to a commit that is. With --root, \
        PATH is below DIR; if it is not given, it is that of the command that ssh was asked to run \
        (SSH_ORIGINAL_COMMAND). As the command of a key in authorized_keys it lets that key push \
        to repositories below DIR, and do nothing else: \
        restrict,command=\"osier receive --root=/srv/repos\" ssh-ed25519 ... . With a PATH in that \
        command the key can push to this one repository, whatever the sender asks for.",
    examples: &[
        ("What ssh starts for ssh://example.org/srv/os:", "osier receive /srv/os"),
        (
            "Repositories below a directory, as the command of a key:",
            "osier receive --root=/srv/repos",
        ),
    ],
    environment: &[
        DEFLATE,
        ("SSH_ORIGINAL_COMMAND", "What the sender has asked ssh to run, for --root without PATH."),
    ],
    files: FILES_OF_REPO,
    see_also: &["push"],
};

const SERVE: Page = Page {
    command: "serve",
    details: "Serves the repository over HTTP until it gets SIGINT or SIGTERM: its files for ostree \
        pull and osier pull, and pages to look at it in a browser, with refs, commits, signatures, \
        trees, files, comparisons and a search by path. Every page is also a JSON document, for \
        those that send Accept: application/json or add ?format=json. Nothing is written. A \
        repository of any mode looks like an archive to those who pull; what is not stored \
        compressed is compressed as it is sent. It listens on the loopback unless --address says \
        otherwise; then whoever reaches the address can read everything in the repository. On the \
        loopback it answers to localhost, to addresses and to the names of --host only, so that no \
        web site can read it through a browser.",
    examples: &[
        ("Serve it for this machine, at http://127.0.0.1:8080/:", "osier serve --repo=repo"),
        (
            "For other machines, with a log of requests:",
            "osier serve --repo=/srv/repo --address=0.0.0.0 --port=80 --log-file=/var/log/osier",
        ),
        ("On any free port, for a script:", "osier serve --repo=repo --port=0 --json"),
        (
            "Pull from it:",
            "osier remote add --repo=other --no-sign-verify origin http://127.0.0.1:8080 && \
             osier pull --repo=other origin exampleos/22/x86_64/host",
        ),
    ],
    environment: &[
        OF_REPO[0],
        OF_REPO[1],
        ("OSTREE_GPG_HOME", "The OpenPGP keyrings of the system."),
    ],
    files: FILES_OF_REPO,
    see_also: &["pull", "push", "trivial-httpd"],
};
