//! The `ostreesetup` command: reading its options and replacing their values.

use std::ops::Range;

use super::words::{self, Word};

/// The options of `ostreesetup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Osname,
    Remote,
    Url,
    Ref,
    Nogpg,
}

const NAMES: [(Name, &str); 5] = [
    (Name::Osname, "--osname"),
    (Name::Remote, "--remote"),
    (Name::Url, "--url"),
    (Name::Ref, "--ref"),
    (Name::Nogpg, "--nogpg"),
];

impl Name {
    fn spelling(self) -> &'static str {
        NAMES.iter().find(|(name, _)| *name == self).map_or("", |(_, spelling)| spelling)
    }
}

/// The values of the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Where the installer pulls from, and the installed system after it.
    pub url: String,
    /// The ref that is installed.
    pub reference: String,
    /// The directory below `/ostree/deploy`.
    pub osname: String,
    /// The name of the remote in the installed system; the installer uses the osname if there is
    /// none.
    pub remote: Option<String>,
    /// Whether signatures are ignored, when installing and later.
    pub nogpg: bool,
}

/// An option in the line.
struct Given {
    name: Name,
    /// The word with its value, or the option itself if it takes none.
    span: Range<usize>,
    /// The part of that word before the value, which is kept: `--url=`.
    prefix: String,
}

/// Whether the line is the command.
pub(super) fn is_setup(words: &[Word]) -> bool {
    words.first().is_some_and(|word| word.value == b"ostreesetup")
}

/// Reads the command. If an option is given twice the last one counts.
///
/// # Errors
/// For what the installer rejects, and for abbreviations, which it would expand.
pub(super) fn parse(line: &[u8]) -> Result<Setup, String> {
    let (setup, _) = parse_partly(line)?;
    for (value, name) in
        [(&setup.osname, Name::Osname), (&setup.url, Name::Url), (&setup.reference, Name::Ref)]
    {
        if value.is_empty() {
            return Err(format!("ostreesetup has no {}", name.spelling()));
        }
    }
    Ok(setup)
}

/// The same, with what is missing left empty.
pub(super) fn parse_lenient(line: &[u8]) -> Result<Setup, String> {
    Ok(parse_partly(line)?.0)
}

fn parse_partly(line: &[u8]) -> Result<(Setup, Vec<Given>), String> {
    let mut setup = Setup::default();
    let mut given = Vec::new();
    let words = words::split(line).map_err(str::to_owned)?;
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        let text = text_of(&word)?;
        let (spelling, attached) = match text.split_once('=') {
            Some((spelling, value)) => (spelling, Some(value)),
            None => (text, None),
        };
        let name = name_of(spelling)?;
        if name == Name::Nogpg {
            if attached.is_some() {
                return Err("--nogpg takes no value".to_owned());
            }
            setup.nogpg = true;
            given.push(Given { name, span: word.span, prefix: String::new() });
            continue;
        }
        let (span, prefix, value) = match attached {
            Some(value) => (word.span.clone(), format!("{spelling}="), value.to_owned()),
            None => {
                let next = words.next().ok_or_else(|| format!("{spelling} has no value"))?;
                let value = text_of(&next)?.to_owned();
                if value.starts_with('-') {
                    return Err(format!("{spelling} has no value: {value} is taken for an option"));
                }
                (next.span.clone(), String::new(), value)
            }
        };
        match name {
            Name::Osname => setup.osname = value,
            Name::Url => setup.url = value,
            Name::Ref => setup.reference = value,
            Name::Remote => setup.remote = Some(value).filter(|value| !value.is_empty()),
            Name::Nogpg => {}
        }
        given.push(Given { name, span, prefix });
    }
    Ok((setup, given))
}

fn text_of(word: &Word) -> Result<&str, String> {
    std::str::from_utf8(&word.value)
        .map_err(|_| format!("{} is not UTF-8", word.value.escape_ascii()))
}

fn name_of(spelling: &str) -> Result<Name, String> {
    if let Some((name, _)) = NAMES.iter().find(|(_, known)| *known == spelling) {
        return Ok(*name);
    }
    let meant: Vec<_> =
        NAMES.iter().map(|(_, known)| *known).filter(|known| known.starts_with(spelling)).collect();
    Err(match meant.as_slice() {
        [only] if spelling.len() > "--".len() => {
            format!("{spelling} is an abbreviation of {only}: write it out")
        }
        _ => format!("ostreesetup has no option {spelling}"),
    })
}

/// The new values of options; `None` keeps an option.
#[derive(Default)]
pub(super) struct Replacement<'a> {
    pub(super) osname: Option<&'a str>,
    pub(super) remote: Option<&'a str>,
    pub(super) url: Option<&'a str>,
    pub(super) reference: Option<&'a str>,
    pub(super) nogpg: Option<bool>,
}

/// The line with other values. Unchanged options keep their bytes and position, as do comments and
/// the line end; new options are appended.
pub(super) fn replace(line: &[u8], with: &Replacement<'_>) -> Result<Vec<u8>, String> {
    let (_, given) = parse_partly(line)?;
    let words = words::split(line).map_err(str::to_owned)?;
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut appended = String::new();
    let texts = [
        (Name::Osname, with.osname),
        (Name::Remote, with.remote),
        (Name::Url, with.url),
        (Name::Ref, with.reference),
    ];
    for (name, value) in texts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let there = given.iter().filter(|option| option.name == name);
        if there.clone().next().is_none() {
            appended.push_str(&format!(" {}={}", name.spelling(), words::quote(value)));
        }
        edits.extend(there.map(|option| {
            (option.span.clone(), format!("{}{}", option.prefix, words::quote(value)))
        }));
    }
    let flags = given.iter().filter(|option| option.name == Name::Nogpg);
    match with.nogpg {
        Some(true) if flags.clone().next().is_none() => appended.push_str(" --nogpg"),
        Some(false) => edits
            .extend(flags.map(|option| (with_blanks_before(line, &option.span), String::new()))),
        _ => {}
    }
    let end = words.last().map_or(line.len(), |word| word.span.end);
    edits.push((end..end, appended));
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    let mut result = Vec::with_capacity(line.len());
    let mut at = 0;
    for (span, text) in edits {
        result.extend_from_slice(&line[at..span.start]);
        result.extend_from_slice(text.as_bytes());
        at = span.end;
    }
    result.extend_from_slice(&line[at..]);
    Ok(result)
}

fn with_blanks_before(line: &[u8], span: &Range<usize>) -> Range<usize> {
    let blanks =
        line[..span.start].iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    span.start - blanks..span.end
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"ostreesetup --osname=o --url=http://a/ --ref=r\n";

    #[test]
    fn every_spelling_of_the_options_is_read() {
        let expected = Setup {
            url: "http://a/b c".into(),
            reference: "a/${basearch}/b".into(),
            osname: "o".into(),
            remote: Some("x y".into()),
            nogpg: true,
        };
        for line in [
            "ostreesetup --osname=o --remote='x y' --url=\"http://a/b c\" --ref=a/${basearch}/b \
             --nogpg",
            "  ostreesetup\t--nogpg --osname o --remote \"x y\" \"--url=http://a/b c\" --ref \
             'a/${basearch}/b' # --ref=x",
            "ostreesetup --url=file:///x --osname=o --remote='x y' --url 'http://a/b c' --nogpg \
             --nogpg --ref=a/${basearch}/b\r\n",
        ] {
            assert_eq!(parse(line.as_bytes()).as_ref(), Ok(&expected), "{line}");
        }
        assert_eq!(parse(LINE).unwrap().remote, None);
    }

    #[test]
    fn what_the_installer_would_refuse_or_guess_is_refused() {
        for (options, message) in [
            ("--os=o", "--os is an abbreviation of --osname: write it out"),
            ("--nogp", "--nogp is an abbreviation of --nogpg: write it out"),
            ("--re=x", "ostreesetup has no option --re"),
            ("--", "ostreesetup has no option --"),
            ("-u x", "ostreesetup has no option -u"),
            ("--gpgkey=x", "ostreesetup has no option --gpgkey"),
            ("http://a", "ostreesetup has no option http://a"),
            ("--nogpg=yes", "--nogpg takes no value"),
            ("--url", "--url has no value"),
            ("--url --ref=x", "--url has no value: --ref=x is taken for an option"),
            ("--url='x", "a quotation that is not closed"),
            ("--osname=o --url=http:a", "ostreesetup has no --ref"),
            ("--osname=o --ref=a", "ostreesetup has no --url"),
            ("--osname= --url=x --ref=a", "ostreesetup has no --osname"),
        ] {
            assert_eq!(
                parse(format!("ostreesetup {options}").as_bytes()).unwrap_err(),
                message,
                "{options}"
            );
        }
        assert_eq!(parse(b"ostreesetup --osname=\xff").unwrap_err(), "--osname=\\xff is not UTF-8");
    }

    fn replaced(line: &str, with: &Replacement<'_>) -> String {
        String::from_utf8(replace(line.as_bytes(), with).unwrap()).unwrap()
    }

    #[test]
    fn values_are_replaced_where_they_stand() {
        let with = Replacement {
            url: Some("https://n/"),
            reference: Some("new"),
            ..Replacement::default()
        };
        for (line, expected) in [
            (
                "ostreesetup --osname=o --url=http://a/ --ref=r\n",
                "ostreesetup --osname=o --url=https://n/ --ref=new\n",
            ),
            (
                " ostreesetup  --ref 'r'\t--url \"http://a/\"  --osname o --nogpg # --ref=r\r\n",
                " ostreesetup  --ref new\t--url https://n/  --osname o --nogpg # --ref=r\r\n",
            ),
            (
                "ostreesetup '--url=x y' --ref=a --ref=b#c",
                "ostreesetup --url=https://n/ --ref=new --ref=new#c",
            ),
            ("ostreesetup --osname=o # c", "ostreesetup --osname=o --url=https://n/ --ref=new # c"),
            ("ostreesetup", "ostreesetup --url=https://n/ --ref=new"),
        ] {
            assert_eq!(replaced(line, &with), expected);
        }
        let with = Replacement { osname: Some("a b"), remote: Some("c"), ..Replacement::default() };
        assert_eq!(
            replaced("ostreesetup --osname=o\n", &with),
            "ostreesetup --osname=\"a b\" --remote=c\n"
        );
    }

    #[test]
    fn nogpg_is_added_and_taken_away() {
        let with = |nogpg| Replacement { nogpg: Some(nogpg), ..Replacement::default() };
        assert_eq!(
            replaced("ostreesetup --url=x # y\n", &with(true)),
            "ostreesetup --url=x --nogpg # y\n"
        );
        assert_eq!(
            replaced("ostreesetup --nogpg --url=x\n", &with(true)),
            "ostreesetup --nogpg --url=x\n"
        );
        let twice = "ostreesetup --nogpg --url=x  --nogpg # y\n";
        assert_eq!(replaced(twice, &with(false)), "ostreesetup --url=x # y\n");
        assert_eq!(replaced(twice, &Replacement::default()), twice);
    }
}
