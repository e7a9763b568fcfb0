//! The template that describes to ImageFactory, and Oz below it, what to install: Oz's TDL, an XML
//! document.
//!
//! ```xml
//! <template>
//!   <name>exampleos-22</name>
//!   <os>
//!     <name>Fedora</name>
//!     <version>22</version>
//!     <arch>x86_64</arch>
//!     <install type="url"><url>http://packages.example.org/22/x86_64/os/</url></install>
//!   </os>
//!   <description>exampleos/22/x86_64/host 22.3</description>
//!   <disk><size>10</size></disk>
//! </template>
//! ```
//!
//! There is no XML declaration: ImageFactory passes the text on as a Python string, which must not
//! declare an encoding. The size is a plain number of GiB, which all versions of Oz read in the
//! same way. `packages`, `repositories`, `files` and `commands` are left out: any of them makes
//! ImageFactory boot the image and log in.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::{Error, Result};

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<'a> {
    /// A name for this template: letters, digits and `._+-`.
    pub name: &'a str,
    /// What is installed.
    pub distribution: &'a Distribution,
    /// The architecture.
    pub arch: Arch,
    /// The tree of the distribution that the installer is in.
    pub install_url: &'a str,
    /// A description for users.
    pub description: &'a str,
    /// The size of the disk, in GiB.
    pub disk_gib: u64,
}

impl Template<'_> {
    /// The document.
    ///
    /// # Errors
    /// When a value is not allowed in XML, or the name not in a file name; the message names the
    /// key.
    pub fn to_xml(&self) -> Result<String> {
        let Self { name, distribution, arch, install_url, description, disk_gib } = self;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        if !name.chars().all(is_plain) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let rule = "must be letters, digits and ._+-, the first a letter or digit";
            return Err(Error::failed(format!("name: `{}` {rule}", name.escape_debug())));
        }
        let Distribution { name: os, version } = distribution;
        let (os, version) = (escaped("distribution", os)?, escaped("distribution", version)?);
        let (url, description) =
            (escaped("install-url", install_url)?, escaped("description", description)?);
        let arch = arch.as_str();
        Ok(format!(
            "\
<template>
  <name>{name}</name>
  <os>
    <name>{os}</name>
    <version>{version}</version>
    <arch>{arch}</arch>
    <install type=\"url\"><url>{url}</url></install>
  </os>
  <description>{description}</description>
  <disk><size>{disk_gib}</size></disk>
</template>
"
        ))
    }
}

/// A text with its markup escaped.
fn escaped(key: &str, text: &str) -> Result<String> {
    if text.trim().is_empty() {
        return Err(Error::failed(format!("{key}: the value is empty")));
    }
    // XML 1.0 cannot represent the others.
    if text.contains(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return Err(Error::failed(format!(
            "{key}: `{}` holds control characters",
            text.escape_debug()
        )));
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(c),
        }
    }
    Ok(escaped)
}

/// A distribution, by Oz's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// `Fedora`, or a name with the major version as in `RHEL-7`.
    name: String,
    /// The version; for the latter the minor version.
    version: String,
}

/// Families whose name has the major version in it. Oz supports others, such as `SL` and `OL`, only
/// in versions that are too old for a tree.
const NUMBERED: [&str; 2] = ["RHEL", "CentOS"];
/// The oldest Fedora with this name in Oz.
const OLDEST_FEDORA: u32 = 7;
/// The oldest of the others that a tree can be installed with.
const OLDEST_NUMBERED: u32 = 7;
/// Fedora without a number.
const RAWHIDE: &str = "rawhide";

impl Distribution {
    /// Reads `Fedora 22`, `Fedora rawhide`, `RHEL 7.4`, `CentOS-7 4` and the like.
    ///
    /// # Errors
    /// For distributions that Oz does not support.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = "write it like `Fedora 22`, `RHEL 7.4` or `CentOS 7.9`";
        let refuse = || format!("`{}` is unknown to Oz; {known}", text.escape_debug());
        let separator = |c: char| c == ' ' || c == '-' || c == '.';
        let mut parts = text.split(separator).filter(|part| !part.is_empty());
        let (Some(family), Some(major), minor, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        let number =
            |text: &str| text.parse::<u32>().ok().filter(|number| number.to_string() == text);
        if family == "Fedora" {
            let is_known =
                major == RAWHIDE || number(major).is_some_and(|number| number >= OLDEST_FEDORA);
            return match (is_known, minor) {
                (true, None) => Ok(Self { name: family.to_owned(), version: major.to_owned() }),
                _ => Err(refuse()),
            };
        }
        let minor = minor.and_then(number).ok_or_else(refuse)?;
        if !NUMBERED.contains(&family)
            || number(major).is_none_or(|number| number < OLDEST_NUMBERED)
        {
            return Err(refuse());
        }
        Ok(Self { name: format!("{family}-{major}"), version: minor.to_string() })
    }

    /// pykickstart's name for the syntax of its kickstart files: `F22`, `RHEL7`. Rawhide has none
    /// of its own.
    pub fn kickstart_version(&self) -> Option<String> {
        match self.name.split_once('-') {
            Some((_, major)) => Some(format!("RHEL{major}")),
            None => (self.version != RAWHIDE).then(|| format!("F{}", self.version)),
        }
    }
}

/// An architecture that Oz supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arch(&'static str);

const ARCHES: [&str; 7] = ["i386", "x86_64", "ppc64", "ppc64le", "aarch64", "armv7l", "s390x"];
/// The names of some of them in package repositories.
const ALIASES: [(&str, &str); 5] = [
    ("armhfp", "armv7l"),
    ("armv7hl", "armv7l"),
    ("i486", "i386"),
    ("i586", "i386"),
    ("i686", "i386"),
];

impl Arch {
    /// Reads Oz's own name, or that of a package repository.
    ///
    /// # Errors
    /// For any other.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == text).map_or(text, |(_, name)| name);
        let known = ARCHES.iter().find(|known| **known == name);
        let refuse = || format!("`{}` is none of {}", text.escape_debug(), ARCHES.join(", "));
        known.map(|known| Self(known)).ok_or_else(refuse)
    }

    /// Oz's name.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether its disks have a partition table in the PC's style, with the signature `55 aa`.
    pub fn has_boot_signature(self) -> bool {
        self.0 != "s390x"
    }
}

/// Checks that a guest can fetch a URL.
///
/// # Errors
/// When it is on this machine, or neither http, https nor ftp.
pub fn check_install_url(url: &str) -> Result<(), String> {
    let is_known = ["http://", "https://", "ftp://"].iter().any(|scheme| url.starts_with(scheme));
    if !is_known || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "`{}` must begin with http://, https:// or ftp:// and hold no blanks",
            url.escape_debug()
        ));
    }
    refuse_localhost(check_host(url)?)
}

/// Checks that the installer can pull from a URL: it names a host, or a path inside the installer.
///
/// # Errors
/// When it is on this machine, no URL, or neither http, https nor file.
pub fn check_ostree_url(url: &str) -> Result<(), String> {
    let is_known = ["http://", "https://", "file:"].iter().any(|scheme| url.starts_with(scheme));
    if !is_known
        || url.contains(|c: char| c.is_whitespace() || c.is_control() || "\"<>\\^`{|}".contains(c))
    {
        return Err(format!(
            "`{}` must begin with http://, https:// or file:/// and be a URL",
            url.escape_debug()
        ));
    }
    match url.strip_prefix("file:").map(|path| path.strip_prefix("//").unwrap_or(path)) {
        Some(path) if path.starts_with('/') => Ok(()),
        Some(_) => Err(format!("`{url}` needs an absolute path, as in file:///repo")),
        None => refuse_localhost(check_host(url)?),
    }
}

/// Checks that a URL has a host and, if any, a port.
fn check_host(url: &str) -> Result<&str, String> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map(|(_, port)| port);
    if port.is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_err()) {
        return Err(format!("`{url}` has no good port"));
    }
    // Clients read `%31` and full-width digits as digits, so anything but a plain name may be any
    // address.
    let is_good = |host: &str| match host.contains(':') {
        true => host.parse::<Ipv6Addr>().is_ok(),
        false => host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')),
    };
    match host_of(url) {
        Some(host) if !is_good(host) => Err(format!("`{url}` has no good host")),
        Some(_) => Ok(url),
        None => Err(format!("`{url}` has no host")),
    }
}

/// Refuses a URL of this machine: inside the guest it would refer to the guest.
///
/// # Errors
/// When it does.
pub fn refuse_localhost(url: &str) -> Result<(), String> {
    let Some(host) = host_of(url) else { return Ok(()) };
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_here = matches!(
        name.as_str(),
        "localhost"
            | "localhost.localdomain"
            | "localhost4"
            | "localhost6"
            | "ip6-localhost"
            | "ip6-loopback"
    ) || name.ends_with(".localhost")
        || ipv4(&name).is_some_and(|address| address.is_loopback() || address.is_unspecified())
        || name.parse().is_ok_and(|address: Ipv6Addr| {
            // `::127.0.0.1` and `::ffff:127.0.0.1` mean the same.
            let inner = address
                .to_ipv4()
                .is_some_and(|address| address.is_loopback() || address.is_unspecified());
            address.is_loopback() || address.is_unspecified() || inner
        });
    match is_here {
        true => {
            Err(format!("{url} is this machine, which the installer in its guest cannot reach"))
        }
        false => Ok(()),
    }
}

/// An IPv4 address in any of the forms that `inet_aton` reads, as clients do: one to four numbers,
/// each decimal, octal (`0177`) or hexadecimal (`0x7f`), the last of which fills all bytes that are
/// left (`127.1`, `2130706433`, `0`).
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    };
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 4 || !parts.iter().all(|part| is_plain(part)) {
        return None;
    }
    let numbers = parts.into_iter().map(number).collect::<Option<Vec<u32>>>()?;
    let (last, first) = numbers.split_last()?;
    let mut address = 0;
    for (position, byte) in first.iter().enumerate() {
        address |= u32::from(u8::try_from(*byte).ok()?) << (24 - 8 * position);
    }
    let fits = first.is_empty() || *last < 1 << (32 - 8 * first.len());
    fits.then(|| Ipv4Addr::from(address | last))
}

/// The host of a URL, without user, port and brackets; `None` when it has none, as `file:///x`.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_written_without_declaration_and_with_its_markup_escaped() {
        let template = Template {
            name: "exampleos-22.3",
            distribution: &Distribution::parse("Fedora 22").unwrap(),
            arch: Arch::parse("x86_64").unwrap(),
            install_url: "http://packages.example.org/22/x86_64/os/?a=1&b=<2>",
            description: "exampleos/22/x86_64/host \"22.3\" – ü",
            disk_gib: 10,
        };
        let expected = "\
<template>
  <name>exampleos-22.3</name>
  <os>
    <name>Fedora</name>
    <version>22</version>
    <arch>x86_64</arch>
    <install type=\"url\"><url>http://packages.example.org/22/x86_64/os/?a=1&amp;b=&lt;2&gt;</url></install>
  </os>
  <description>exampleos/22/x86_64/host &quot;22.3&quot; – ü</description>
  <disk><size>10</size></disk>
</template>
";
        assert_eq!(template.to_xml().unwrap(), expected);
        let rule = "must be letters, digits and ._+-, the first a letter or digit";
        for (changed, expected) in [
            (Template { name: "a/b", ..template.clone() }, format!("name: `a/b` {rule}")),
            (Template { name: "", ..template.clone() }, format!("name: `` {rule}")),
            (Template { name: ".a", ..template.clone() }, format!("name: `.a` {rule}")),
            (
                Template { description: "a\u{1}b", ..template.clone() },
                "description: `a\\u{1}b` holds control characters".to_owned(),
            ),
            (
                Template { description: " ", ..template.clone() },
                "description: the value is empty".to_owned(),
            ),
        ] {
            assert_eq!(changed.to_xml().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn distributions_get_the_names_that_oz_has_for_them() {
        for (text, name, version, kickstart) in [
            ("Fedora 22", "Fedora", "22", Some("F22")),
            ("Fedora-7", "Fedora", "7", Some("F7")),
            ("Fedora rawhide", "Fedora", "rawhide", None),
            ("RHEL-7 4", "RHEL-7", "4", Some("RHEL7")),
            ("RHEL 7.4", "RHEL-7", "4", Some("RHEL7")),
            ("CentOS-8.9", "CentOS-8", "9", Some("RHEL8")),
            ("RHEL 9.4", "RHEL-9", "4", Some("RHEL9")),
        ] {
            let expected = Distribution { name: name.into(), version: version.into() };
            let found = Distribution::parse(text).unwrap();
            assert_eq!(
                (&found, found.kickstart_version().as_deref()),
                (&expected, kickstart),
                "{text}"
            );
        }
        for text in [
            "",
            "Fedora",
            "Fedora 6",
            "Fedora 22.1",
            "fedora 22",
            "Fedora 022",
            "RHEL 7",
            "RHEL 6.4",
            "Debian 8.1",
            "CentOS 7.x",
            "RHEL 7.4.1",
            "SL 7.2",
            "OL 7.1",
            "ScientificLinux 7.2",
        ] {
            let message = Distribution::parse(text).unwrap_err();
            let expected =
                "is unknown to Oz; write it like `Fedora 22`, `RHEL 7.4` or `CentOS 7.9`";
            assert_eq!(message, format!("`{text}` {expected}"));
        }
    }

    #[test]
    fn processors_get_the_names_that_oz_has_for_them() {
        for (text, name) in
            [("x86_64", "x86_64"), ("armhfp", "armv7l"), ("i686", "i386"), ("ppc64le", "ppc64le")]
        {
            assert_eq!(Arch::parse(text).unwrap().as_str(), name);
        }
        let expected = "`riscv64` is none of i386, x86_64, ppc64, ppc64le, aarch64, armv7l, s390x";
        assert_eq!(Arch::parse("riscv64").unwrap_err(), expected);
    }

    #[test]
    fn this_machine_is_refused_under_every_name() {
        for host in [
            "localhost",
            "LOCALHOST.",
            "localhost:8080",
            "user:pw@localhost",
            "localhost.localdomain",
            "127.0.0.1",
            "127.8.8.8:80",
            "[::1]",
            "[::1]:80",
            "0.0.0.0",
            "a.localhost",
            "ip6-localhost",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[::]:80",
            "[0:0:0:0:0:0:0:1]",
            "127.1",
            "127.0.1:80",
            "0",
            "0:8080",
            "2130706433",
            "0x7f000001",
            "0x7F.1",
            "0177.0.0.01",
        ] {
            let url = format!("http://{host}/os/");
            let expected =
                format!("{url} is this machine, which the installer in its guest cannot reach");
            assert_eq!(refuse_localhost(&url).unwrap_err(), expected);
            assert_eq!(check_install_url(&url).unwrap_err(), expected);
        }
        for url in [
            "http://localhost.example.org/",
            "http://10.0.0.1:80/",
            "http://10.1/",
            "http://128.1/",
            "http://127/",
            "http://127.0.0.256/",
            "http://127.1.example.org/",
            "http://1.2.3.4.5/",
            "http://4294967296/",
            "http://0x/",
            "http://[fe80::1]/",
            "file:///localhost",
        ] {
            assert_eq!(refuse_localhost(url), Ok(()), "{url}");
        }
        assert_eq!(check_install_url("ftp://i.example.org/os/"), Ok(()));
        for url in [
            "http://h/repo",
            "https://user:pw@h:8443/repo?x=1",
            "http://[fe80::1]:80/",
            "file:///repo",
            "file:/repo",
            "http://h:/",
        ] {
            assert_eq!(check_ostree_url(url), Ok(()), "{url}");
        }
        let no_url = |url: &str| {
            format!("`{url}` must begin with http://, https:// or file:/// and be a URL")
        };
        for (url, expected) in [
            ("ftp://h/repo", no_url("ftp://h/repo")),
            ("HTTP://h/", no_url("HTTP://h/")),
            ("h/repo", no_url("h/repo")),
            ("http://h/a b", no_url("http://h/a b")),
            ("http://h/<x>", no_url("http://h/<x>")),
            ("file://repo", "`file://repo` needs an absolute path, as in file:///repo".to_owned()),
            ("http://", "`http://` has no host".to_owned()),
            ("http:///repo", "`http:///repo` has no host".to_owned()),
            ("http://:80/repo", "`http://:80/repo` has no host".to_owned()),
            ("http://h:http/", "`http://h:http/` has no good port".to_owned()),
            ("http://h:65536/", "`http://h:65536/` has no good port".to_owned()),
            ("http://127.0.0.%31/", "`http://127.0.0.%31/` has no good host".to_owned()),
            ("http://１27.0.0.1/", "`http://１27.0.0.1/` has no good host".to_owned()),
            ("http://[::g]/", "`http://[::g]/` has no good host".to_owned()),
            (
                "http://127.1/repo",
                "http://127.1/repo is this machine, which the installer in its guest cannot reach"
                    .to_owned(),
            ),
        ] {
            assert_eq!(check_ostree_url(url).unwrap_err(), expected);
        }
        for url in ["file:///os", "http://a b/", "HTTP://a/", "x"] {
            let expected =
                format!("`{url}` must begin with http://, https:// or ftp:// and hold no blanks");
            assert_eq!(check_install_url(url).unwrap_err(), expected);
        }
    }
}
