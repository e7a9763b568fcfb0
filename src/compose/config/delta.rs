//! The group `[delta]`: which static deltas are made to a commit before it is published.

use std::num::NonZeroUsize;

use super::reader::Reader;
use super::sign::SignConfig;

/// The unit of the sizes, as of the options of `static-delta generate`, in bytes.
const MEGABYTE: u64 = 1_000_000;

/// The group `[delta]`. A size that is not given has the default of `static-delta generate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaConfig {
    /// How many of the ref's last commits deltas are made from.
    pub from_commits: u64,
    /// Whether one is made from nothing.
    pub from_scratch: bool,
    /// Whether a commit is not published if a delta cannot be made.
    pub required: bool,
    /// Whether the keys of `[sign]` sign the deltas. Only osier can pull signed ones.
    pub sign: bool,
    /// Whether parts are put into the superblock.
    pub inline: bool,
    /// Whether files are compared with bsdiff.
    pub bsdiff: bool,
    /// See [`GenerateOptions`](crate::delta::GenerateOptions), in bytes.
    pub min_fallback_size: Option<u64>,
    /// The same.
    pub max_bsdiff_size: Option<u64>,
    /// The same.
    pub max_chunk_size: Option<u64>,
    /// How many threads work.
    pub jobs: Option<NonZeroUsize>,
    /// How many bytes of memory the work may take.
    pub memory: Option<u64>,
}

const KEYS: [&str; 12] = [
    "from-parent",
    "from-commits",
    "from-scratch",
    "required",
    "sign",
    "inline",
    "bsdiff",
    "min-fallback-size",
    "max-bsdiff-size",
    "max-chunk-size",
    "jobs",
    "memory-mib",
];

/// Reads the group; `sign` is what `[sign]` says.
pub(super) fn read(mut reader: Reader<'_>, sign: &SignConfig) -> DeltaConfig {
    reader.only(&KEYS);
    let from_parent = reader.optional_boolean("from-parent");
    let from_commits = match reader.has_key("from-commits") {
        true => {
            if from_parent.is_some() {
                reader.wrong::<()>("from-parent", "has no effect beside from-commits");
            }
            reader.number("from-commits", 1, 1..=1000)
        }
        false => u64::from(from_parent != Some(false)),
    };
    let jobs = reader.optional_in("jobs", 1..=1024);
    let memory = reader.optional_in("memory-mib", 1..=u64::MAX >> 20);
    let config = DeltaConfig {
        from_commits,
        from_scratch: reader.boolean("from-scratch", false),
        required: reader.boolean("required", true),
        sign: reader.boolean("sign", false),
        inline: reader.boolean("inline", false),
        bsdiff: reader.boolean("bsdiff", true),
        min_fallback_size: megabytes(&mut reader, "min-fallback-size"),
        max_bsdiff_size: megabytes(&mut reader, "max-bsdiff-size"),
        max_chunk_size: megabytes(&mut reader, "max-chunk-size"),
        jobs: jobs.and_then(|jobs| NonZeroUsize::new(usize::try_from(jobs).ok()?)),
        memory: memory.map(|mebibytes| mebibytes << 20),
    };
    if config.from_commits == 0 && !config.from_scratch {
        reader.empty(
            "nothing in it makes a delta: give from-commits or from-scratch, or leave it out",
        );
    }
    if !config.bsdiff && config.max_bsdiff_size.is_some() {
        reader.wrong::<()>("max-bsdiff-size", "has no effect with bsdiff=false");
    }
    if config.sign && !signs_deltas(sign) {
        reader.wrong::<()>(
            "sign",
            "nothing in [sign] signs deltas: they need ed25519-key-files, spki-key-files or exec",
        );
    }
    config
}

/// Whether there is a key of a type that deltas can be signed with.
fn signs_deltas(sign: &SignConfig) -> bool {
    !sign.ed25519_key_files.is_empty() || !sign.spki_key_files.is_empty() || sign.exec.is_some()
}

fn megabytes(reader: &mut Reader<'_>, key: &str) -> Option<u64> {
    reader.optional_in(key, 0..=u64::from(u32::MAX)).map(|number| number * MEGABYTE)
}

impl DeltaConfig {
    /// What there are deltas from, as phrases.
    pub fn sources(&self) -> Vec<String> {
        let commits = match self.from_commits {
            0 => None,
            1 => Some("the last commit of the ref".to_owned()),
            count => Some(format!("each of the last {count} commits of the ref")),
        };
        commits.into_iter().chain(self.from_scratch.then(|| "nothing".to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::ComposeConfig;
    use super::*;

    fn parse(lines: &str) -> Result<Option<DeltaConfig>, Vec<String>> {
        let tree = "[compose]\nrepo=repo\ntreefile=t.json\ncachedir=c\nwork=work\n";
        let text = format!("{tree}{lines}");
        ComposeConfig::parse(&text, Path::new("/e")).map(|config| config.tree.delta)
    }

    #[test]
    fn every_key_is_read_and_has_a_default() {
        assert_eq!(parse(""), Ok(None));
        let config = parse("[delta]\n").unwrap().unwrap();
        let expected = DeltaConfig {
            from_commits: 1,
            from_scratch: false,
            required: true,
            sign: false,
            inline: false,
            bsdiff: true,
            min_fallback_size: None,
            max_bsdiff_size: None,
            max_chunk_size: None,
            jobs: None,
            memory: None,
        };
        assert_eq!(config, expected);
        assert_eq!(config.sources(), ["the last commit of the ref"]);
        let text = "[sign]\ned25519-key-files=k\n[delta]\nfrom-commits=3\nfrom-scratch=true\n\
                    required=false\nsign=true\ninline=true\nmin-fallback-size=0\n\
                    max-bsdiff-size=64\nmax-chunk-size=8\njobs=2\nmemory-mib=512\n";
        let config = parse(text).unwrap().unwrap();
        let expected = DeltaConfig {
            from_commits: 3,
            from_scratch: true,
            required: false,
            sign: true,
            inline: true,
            min_fallback_size: Some(0),
            max_bsdiff_size: Some(64_000_000),
            max_chunk_size: Some(8_000_000),
            jobs: NonZeroUsize::new(2),
            memory: Some(512 << 20),
            ..expected
        };
        assert_eq!(config, expected);
        assert_eq!(config.sources(), ["each of the last 3 commits of the ref", "nothing"]);
        let scratch = parse("[delta]\nfrom-parent=false\nfrom-scratch=true\n").unwrap().unwrap();
        assert_eq!((scratch.from_commits, scratch.sources()), (0, vec!["nothing".to_owned()]));
        assert_eq!(parse("[delta]\nfrom-parent=true\n").unwrap().unwrap().from_commits, 1);
    }

    #[test]
    fn what_is_wrong_or_has_no_effect_is_reported() {
        for (lines, expected) in [
            (
                "from-parent=false\n",
                "[delta]: nothing in it makes a delta: give from-commits or from-scratch, or \
                 leave it out",
            ),
            (
                "from-parent=true\nfrom-commits=2\n",
                "[delta] from-parent: has no effect beside from-commits",
            ),
            ("from-commits=0\n", "[delta] from-commits: `0` is no number from 1 to 1000"),
            ("jobs=0\n", "[delta] jobs: `0` is no number from 1 to 1024"),
            ("inline=yes\n", "[delta] inline: `yes` is neither true nor false"),
            ("key=1\n", "[delta] unknown key key"),
            (
                "bsdiff=false\nmax-bsdiff-size=1\n",
                "[delta] max-bsdiff-size: has no effect with bsdiff=false",
            ),
            (
                "sign=true\n[sign]\ngpg-keys=A\n",
                "[delta] sign: nothing in [sign] signs deltas: they need ed25519-key-files, \
                 spki-key-files or exec",
            ),
        ] {
            if lines.contains("gpg") && cfg!(not(feature = "gpg")) {
                continue;
            }
            assert_eq!(parse(&format!("[delta]\n{lines}")), Err(vec![expected.to_owned()]));
        }
    }
}
