//! Man pages of the commands for refs of collections.

use super::pages::{DEFLATE, FILES_OF_REPO, OF_REPO, Page};

/// The pages.
pub(super) const PAGES: &[Page] = &[
    Page {
        command: "create-usb",
        details: "Copies refs of collections with all that they reach into an archive on a file \
            system that is mounted at MOUNT-PATH, where find-remotes looks for them. The \
            archive is MOUNT-PATH/.ostree/repo, or DEST below MOUNT-PATH, with a link to it in \
            .ostree/repos.d. One that is there gets the refs in addition. No symbolic link of \
            that file system is followed.",
        examples: &[
            (
                "Take an update to machines without a network:",
                "osier create-usb /srv/stick org.example.Os exampleos/22/x86_64/host",
            ),
            (
                "An older commit, in a repository with a name of its own:",
                "osier create-usb --destination-repo=host --commit=$COMMIT /srv/stick \
                 org.example.Os exampleos/22/x86_64/host",
            ),
        ],
        environment: &[OF_REPO[0], OF_REPO[1], DEFLATE],
        files: &[
            FILES_OF_REPO[0],
            ("MOUNT-PATH/.ostree/repo", "The archive."),
            ("MOUNT-PATH/.ostree/repos.d/", "Links to archives elsewhere on the file system."),
        ],
        see_also: &["find-remotes", "summary"],
    },
    Page {
        command: "find-remotes",
        details: "Lists remotes that have refs of collections in their newest version, the preferred \
            ones first: repositories on removable media, then configured remotes with a \
            collection id. With --pull the refs are pulled from the first remote that can \
            deliver them; their commits need an OpenPGP signature of a key of the remote, and \
            for removable media of the remote that has the collection. The finder lan is not \
            supported.",
        examples: &[
            (
                "Who has the newest version?",
                "osier --repo=repo find-remotes org.example.Os exampleos/22/x86_64/host",
            ),
            (
                "Get it from removable media only:",
                "osier --repo=repo find-remotes --finders=mount --pull org.example.Os \
                 exampleos/22/x86_64/host",
            ),
        ],
        environment: &[
            OF_REPO[0],
            OF_REPO[1],
            ("USER", "Media below /run/media/USER count, besides those below /media."),
            ("http_proxy, https_proxy, no_proxy", "Proxies, where a remote has none of its own."),
        ],
        files: &[
            FILES_OF_REPO[0],
            FILES_OF_REPO[1],
            ("REPO/NAME.trustedkeys.gpg", "The OpenPGP keys of a remote."),
            ("REPO/tmp/cache/summaries/", "Signed summaries, as they were last."),
            ("MOUNT/.ostree/repo, MOUNT/.ostree/repos.d/", "Repositories on removable media."),
        ],
        see_also: &["create-usb", "remote-add"],
    },
];
