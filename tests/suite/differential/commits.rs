//! Command lines about commits, as in [`super::scripts`].

use super::scripts::Script;

/// What is recorded, and of what.
pub const SCRIPTS: &[Script] = &[
    // commit: metadata
    (
        "commit prints the id",
        &["commit -b main --timestamp=@1700000000 --tree=dir=../tree", "rev-parse main"],
    ),
    (
        "commit takes a path argument",
        &["commit -b main --timestamp=@1700000000 ../tree", "ls -R main"],
    ),
    ("commit needs a branch", &["commit --timestamp=@1 --tree=dir=../tree"]),
    (
        "commit keeps subject and body",
        &[
            "commit -b main -s 'The Subject – ü' -m 'Body one' --timestamp=@1 --tree=dir=../tree2",
            "log main",
        ],
    ),
    (
        "commit reads the body from a file",
        &[
            "commit -b main -s x -F ../body --timestamp=@1 --tree=dir=../tree2",
            "show main",
            "commit -b main -F ../none --tree=dir=../tree2",
        ],
    ),
    (
        "commit asks an editor",
        &[
            "OSTREE_EDITOR=../editor commit -b main -e --timestamp=@1 --tree=dir=../tree2",
            "show main",
        ],
    ),
    (
        "commit with an empty subject from the editor aborts",
        &["OSTREE_EDITOR=../editor-empty commit -b main -e --timestamp=@1 --tree=dir=../tree2"],
    ),
    (
        "commit takes VISUAL and EDITOR",
        &[
            "TERM=xterm VISUAL=../editor commit -b main -e --timestamp=@1 --tree=dir=../tree2",
            "TERM=xterm EDITOR=../editor commit -b two -e --timestamp=@1 --tree=dir=../tree2",
        ],
    ),
    (
        "commit metadata of every type",
        &[
            "commit -b main --timestamp=@1 --add-metadata-string=version=1.0 \
             --add-metadata-string='k=a string with = and ü' --add-metadata='u=uint32 42' \
             --add-metadata='i=int64 -5' --add-metadata='y=byte 0x7f' --add-metadata=b=true \
             --add-metadata=d=1.5 --add-metadata='as=[\"one\",\"two\"]' \
             --add-metadata='ay=b\"bytes\"' --add-metadata='dict={\"k\": <uint64 7>}' \
             --add-metadata='m=@ms nothing' --add-metadata='t=(\"x\", 1, true)' --tree=dir=../tree2",
            "show main",
            "show --raw main",
            "show -B main",
            "show --print-metadata-key=u main",
            "show -B --print-metadata-key=u main",
            "show --print-metadata-key=dict main",
            "show --print-metadata-key=ay main",
            "show --print-metadata-key=t main",
            "log main",
        ],
    ),
    (
        "commit refuses broken metadata",
        &[
            "commit -b main --add-metadata=u=uint32 --tree=dir=../tree2",
            "commit -b main --add-metadata=novalue --tree=dir=../tree2",
            "commit -b main --add-metadata-string=novalue --tree=dir=../tree2",
            "commit -b main --add-metadata=k=[1,true] --tree=dir=../tree2",
        ],
    ),
    (
        "commit keeps metadata of the parent",
        &[
            "commit -b main --timestamp=@1 --add-metadata-string=keep=me --tree=dir=../tree2",
            "commit -b main --timestamp=@2 --keep-metadata=keep --add-metadata-string=new=one \
             --tree=dir=../tree2",
            "show --raw main",
            "commit -b main --keep-metadata=gone --tree=dir=../tree2",
            "commit -b fresh --keep-metadata=keep --tree=dir=../tree2",
        ],
    ),
    (
        "commit adds detached metadata",
        &[
            "commit -b main --timestamp=@1 --add-detached-metadata-string=d=later \
             --add-detached-metadata-string=e=x --tree=dir=../tree2",
            "show --print-detached-metadata-key=d main",
            "show --print-detached-metadata-key=none main",
        ],
    ),
    (
        "commit binds refs in name order",
        &[
            "commit -b main --bind-ref=zz --bind-ref=aa --timestamp=@1 --tree=dir=../tree2",
            "show --raw main",
        ],
    ),
    (
        "commit without bindings",
        &["commit -b main --no-bindings --timestamp=@1 --tree=dir=../tree2", "show --raw main"],
    ),
    (
        "commit keeps a binding of the user's",
        &[
            "commit -b main --add-metadata='ostree.ref-binding=[\"mine\"]' --timestamp=@1 \
             --tree=dir=../tree2",
            "show --raw main",
        ],
    ),
    (
        "init for commits with collection binding",
        &[
            "init --mode=archive --collection-id=org.example.Main",
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "show --raw main",
            "commit -b nob --no-bindings --timestamp=@1 --tree=dir=../tree2",
            "show --raw nob",
            "fsck --verify-bindings",
            "refs -c",
        ],
    ),
    (
        "commit --orphan writes no ref",
        &["commit --orphan --timestamp=@1 --tree=dir=../tree2", "refs", "rev-parse -S"],
    ),
    (
        "commit --bootable finds the kernel",
        &[
            "commit -b main --bootable --timestamp=@1 --tree=dir=../tree",
            "show --raw main",
            "commit -b none --bootable --timestamp=@1 --tree=dir=../tree2",
        ],
    ),
    (
        "commit --bootable reorders the metadata",
        &[
            "commit -b main --bootable --add-metadata-string=version=1 \
             --add-metadata-string=version=2 --add-metadata-string=a=b \
             --add-metadata-string=zeta=1 --timestamp=@1 --tree=dir=../tree",
            "show --raw main",
        ],
    ),
    (
        "commit refuses two kernels",
        &[
            "sh: cp -a ../tree two && mkdir two/usr/lib/modules/6.2 && cp \
             two/usr/lib/modules/6.1.0/vmlinuz two/usr/lib/modules/6.2/",
            "commit -b main --bootable --timestamp=@1 --tree=dir=two",
        ],
    ),
    (
        "commit --table-output",
        &[
            "commit -b main --table-output --timestamp=@1 --tree=dir=../tree",
            "commit -b main --table-output --timestamp=@1 --tree=dir=../tree",
            "commit -b main --table-output --timestamp=@1 --tree=dir=../tree2",
        ],
    ),
    (
        "commit takes the time from the environment",
        &[
            "SOURCE_DATE_EPOCH=1234567890 commit -b main --tree=dir=../tree2",
            "log main",
            "SOURCE_DATE_EPOCH=x commit -b main --tree=dir=../tree2",
        ],
    ),
    (
        "commit takes dates of many forms",
        &[
            "commit -b date-a --timestamp='2020-02-02 02:02:02' --tree=dir=../tree2",
            "commit -b date-b --timestamp='Sun, 01 Jan 2023 00:00:00 +0100' --tree=dir=../tree2",
            "commit -b date-c --timestamp=2021-03-04T05:06:07Z --tree=dir=../tree2",
            "commit -b date-d --timestamp='2021-03-04 05:06:07 EST' --tree=dir=../tree2",
            "commit -b date-e --timestamp=@-1 --tree=dir=../tree2",
            "commit -b date-f --timestamp='1 Jan 2022 12:00 +3 days' --tree=dir=../tree2",
            "commit -b date-g --timestamp=bogus --tree=dir=../tree2",
            "commit -b date-h --timestamp=@99999999999 --tree=dir=../tree2",
            "log date-a",
            "log date-e",
            "log date-h",
        ],
    ),
    // commit: parents
    (
        "a second commit has the first as parent",
        &[
            "commit -b main -s one --timestamp=@1 --tree=dir=../tree",
            "commit -b main -s two --timestamp=@2 --tree=dir=../tree2",
            "log main",
            "rev-parse main^",
            "rev-parse main^^",
            "show main^",
        ],
    ),
    (
        "--parent=none starts again",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree2",
            "commit -b main --parent=none --timestamp=@2 --tree=dir=../tree",
            "log main",
        ],
    ),
    (
        "--parent must be a checksum",
        &[
            "commit -b main --parent=bogus --timestamp=@1 --tree=dir=../tree2",
            "commit -b main \
             --parent=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 \
             --timestamp=@1 --tree=dir=../tree2",
            "log main",
        ],
    ),
    (
        "--skip-if-unchanged",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree",
            "commit -b main --skip-if-unchanged --timestamp=@2 --tree=dir=../tree",
            "commit -b main --skip-if-unchanged --timestamp=@3 --tree=dir=../tree2",
            "log main",
        ],
    ),
    // commit: modifiers
    (
        "--owner-uid and --owner-gid",
        &[
            "commit -b own-a --owner-uid=1 --timestamp=@1 --tree=dir=../tree",
            "commit -b own-b --owner-gid=2 --timestamp=@1 --tree=dir=../tree",
            "commit -b own-c --owner-uid=0 --owner-gid=0 --timestamp=@1 --tree=dir=../tree",
            "ls -RCX own-a",
            "ls -RCX own-b",
        ],
    ),
    (
        "--owner-uid takes C numbers only",
        &[
            "commit -b own-a --owner-uid=0x10 --owner-gid=010 --timestamp=@1 --tree=dir=../tree",
            "ls -RCX own-a",
            "commit -b own-a --owner-uid=ten --timestamp=@1 --tree=dir=../tree",
            "commit -b own-a --owner-uid= --timestamp=@1 --tree=dir=../tree",
        ],
    ),
    (
        "--canonical-permissions",
        &[
            "commit -b main --canonical-permissions --timestamp=@1 --tree=dir=../tree",
            "ls -RCX main",
            "commit -b main --canonical-permissions --owner-uid=0 --timestamp=@2 --tree=dir=../tree",
            "commit -b main --canonical-permissions --owner-uid=5 --timestamp=@2 --tree=dir=../tree",
        ],
    ),
    (
        "--mode-ro-executables",
        &["commit -b main --mode-ro-executables --timestamp=@1 --tree=dir=../tree", "ls -R main"],
    ),
    (
        "--no-xattrs",
        &["commit -b main --no-xattrs --timestamp=@1 --tree=dir=../tree", "ls -RCX main"],
    ),
    (
        "--statoverride",
        &[
            "commit -b main --statoverride=../override --timestamp=@1 --tree=dir=../tree",
            "ls -R main",
        ],
    ),
    (
        "--statoverride unmatched",
        &[
            "commit -b main --statoverride=../override-unmatched --timestamp=@1 --tree=dir=../tree",
            "commit -b main --statoverride=../override-unused-set --timestamp=@1 --tree=dir=../tree",
            "commit -b main --statoverride=../override-broken --timestamp=@1 --tree=dir=../tree",
            "commit -b main --statoverride=../none --timestamp=@1 --tree=dir=../tree",
        ],
    ),
    (
        "--skip-list",
        &[
            "commit -b main --skip-list=../skip --timestamp=@1 --tree=dir=../tree",
            "ls -R main",
            "commit -b main --skip-list=../skip-unmatched --timestamp=@1 --tree=dir=../tree",
            "commit -b main --skip-list=../none --timestamp=@1 --tree=dir=../tree",
        ],
    ),
    (
        "--disable-fsync and --fsync",
        &[
            "commit -b main --fsync=false --timestamp=@1 --tree=dir=../tree",
            "commit -b main --disable-fsync --timestamp=@2 --tree=dir=../tree2",
            "commit -b main --fsync=No --timestamp=@3 --tree=dir=../tree",
            "commit -b main --fsync=perhaps --timestamp=@4 --tree=dir=../tree",
        ],
    ),
    (
        "--generate-sizes, which says nothing outside archives",
        &[
            "commit -b main --generate-sizes --timestamp=@1 --tree=dir=../tree",
            "show --print-sizes main",
            "commit -b main --generate-sizes --timestamp=@2 --tree=dir=../tree2",
            "show --print-sizes main",
            "commit -b main --generate-sizes --timestamp=@3 --tree=dir=../tree --tree=dir=../tree2",
            "commit -b main --generate-sizes --timestamp=@4 --tree=ref=main",
            "commit -b main --generate-sizes --timestamp=@5 --tree=ref=main --tree=dir=../tree2",
            "commit -b main --generate-sizes --timestamp=@6 --tree=dir=../tree2 --tree=ref=main",
            "commit -b main --generate-sizes --timestamp=@7 --base=main --tree=dir=../tree2",
            "sh: tar cf ../tree.tar -C ../tree2 .",
            "commit -b main --generate-sizes --timestamp=@8 --tree=dir=../tree \
             --tree=tar=../tree.tar",
            "show --print-sizes main",
        ],
    ),
    // commit: sources
    (
        "trees are overlaid",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree --tree=dir=../tree2",
            "ls -RCX main",
            "commit -b other --timestamp=@1 --tree=dir=../tree2 --tree=dir=../tree",
            "ls -RCX other",
        ],
    ),
    (
        "a file in a directory's place is refused",
        &[
            "sh: mkdir clash clash2 && echo x > clash/etc && mkdir -p clash2/etc/passwd",
            "commit -b main --timestamp=@1 --tree=dir=../tree --tree=dir=clash",
            "commit -b main --timestamp=@1 --tree=dir=clash --tree=dir=../tree",
            "commit -b main --timestamp=@1 --tree=dir=../tree --tree=dir=clash2",
        ],
    ),
    (
        "--tree=ref merges",
        &[
            "commit -b one --timestamp=@1 --tree=dir=../tree",
            "commit -b two --timestamp=@1 --tree=dir=../tree2",
            "commit -b both --timestamp=@2 --tree=ref=one --tree=ref=two",
            "ls -RCX both",
            "commit -b changed --owner-uid=7 --timestamp=@2 --tree=ref=one",
            "ls -RCX changed",
            "commit -b none --tree=ref=missing",
        ],
    ),
    (
        "--base starts from a commit",
        &[
            "commit -b one --timestamp=@1 --tree=dir=../tree",
            "commit -b two --base=one --owner-uid=9 --timestamp=@2 --tree=dir=../tree2",
            "ls -RCX two",
            "commit -b none --base=missing --tree=dir=../tree2",
        ],
    ),
    (
        "broken --tree arguments are refused",
        &[
            "commit -b main --tree=bogus=x",
            "commit -b main --tree=bogus",
            "commit -b main --tree=dir=../none",
            "commit -b main --tree=dir=../body",
            "commit -b main --tree=tar=../none",
            "commit -b main ../none",
        ],
    ),
    (
        "--consume deletes the source",
        &[
            "sh: cp -a ../tree gone",
            "commit -b main --consume --timestamp=@1 --tree=dir=gone",
            "sh: test ! -e gone",
            "ls -RCX main",
        ],
    ),
    (
        "--consume of the current directory keeps it",
        &["sh: mkdir -p repo/../w && cp -a ../tree2 w/t && cd w/t && $OSTREE --repo=../../repo \
             commit -b theirs --consume --timestamp=@1"],
    ),
    (
        "tar archives, plain and compressed",
        &[
            "sh: cd ../tree && tar --sort=name --format=pax -cf $OLDPWD/t.tar . && cd - && gzip -k \
             t.tar && xz -k t.tar && zstd -q -k t.tar && bzip2 -k t.tar",
            "commit -b plain --timestamp=@1 --tree=tar=t.tar",
            "commit -b gz --timestamp=@1 --tree=tar=t.tar.gz",
            "commit -b xz --timestamp=@1 --tree=tar=t.tar.xz",
            "commit -b zst --timestamp=@1 --tree=tar=t.tar.zst",
            "commit -b bz2 --timestamp=@1 --tree=tar=t.tar.bz2",
            "ls -RCX plain",
            "ls -RCX zst",
        ],
    ),
    (
        "tar archives with hard links, long names, no root and no parents",
        &[
            "sh: mkdir src && cp -a ../tree/etc src/ && ln src/etc/passwd src/etc/hard && touch \
             src/$(printf 'n%.0s' $(seq 200)) && ln -s $(printf 't%.0s' $(seq 150)) src/longlink \
             && tar -C src --sort=name -cf gnu.tar . && tar -C src --sort=name -cf noroot.tar etc \
             && tar -C src --no-recursion -cf orphanfile.tar etc/passwd && tar -C src \
             --format=ustar -cf ustar.tar etc && tar -C src --sort=name -Pcf dots.tar ./etc && tar \
             -cf empty.tar -T /dev/null",
            "commit -b gnu --timestamp=@1 --tree=tar=gnu.tar",
            "ls -RCX gnu",
            "commit -b noroot --timestamp=@1 --tree=tar=noroot.tar",
            "commit -b noroot --timestamp=@1 --tar-autocreate-parents --tree=tar=noroot.tar",
            "ls -RCX noroot",
            "commit -b orphan --timestamp=@1 --tree=tar=orphanfile.tar",
            "commit -b orphan --timestamp=@1 --tar-autocreate-parents --tree=tar=orphanfile.tar",
            "ls -RCX orphan",
            "commit -b ustar --tar-autocreate-parents --timestamp=@1 --tree=tar=ustar.tar",
            "commit -b dots --tar-autocreate-parents --timestamp=@1 --tree=tar=dots.tar",
            "commit -b empty --timestamp=@1 --tree=tar=empty.tar",
            "commit -b empty --timestamp=@1 --tar-autocreate-parents --tree=tar=empty.tar",
            "ls -RCX empty",
        ],
    ),
    (
        "tar archives through filters",
        &[
            "sh: tar -C ../tree --sort=name -cf t.tar .",
            "commit -b owner --owner-uid=3 --owner-gid=4 --timestamp=@1 --tree=tar=t.tar",
            "ls -RCX owner",
            "commit -b skip --skip-list=../skip --timestamp=@1 --tree=tar=t.tar",
            "ls -R skip",
            "commit -b override --statoverride=../override --timestamp=@1 --tree=tar=t.tar",
            "ls -R override",
            "commit -b canon --canonical-permissions --timestamp=@1 --tree=tar=t.tar",
            "ls -RCX canon",
            "commit -b renamed --tar-pathname-filter='^usr/,new/' --tar-autocreate-parents \
             --timestamp=@1 --tree=tar=t.tar",
            "ls -R renamed",
            "commit -b overlaid --timestamp=@1 --tree=dir=../tree2 --tree=tar=t.tar",
            "ls -RCX overlaid",
        ],
    ),
    (
        "hard links into the repository are reused",
        &[
            "commit -b main --timestamp=@1 --tree=dir=../tree",
            "sh: for how in -H '-U -H' ''; do rm -rf out; if $OSTREE --repo=repo checkout $how \
             main out; then exit; fi; done",
            "commit -b again --table-output --link-checkout-speedup --timestamp=@2 --tree=dir=out",
            "ls -RCX again",
            "commit -b third --table-output -I --timestamp=@3 --tree=dir=out",
            "ls -RCX third",
        ],
    ),
];
