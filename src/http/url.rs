//! URLs of web servers (RFC 3986), kept as they were written.
//!
//! Servers distinguish `%7e` from `~` and `//` from `/`, so nothing is normalised. Bytes that are
//! not allowed in a request, such as spaces or letters beyond ASCII, are percent-encoded.

use std::fmt;
use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The characters to escape in the path or query of a request.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
    /// Not at all: a directory of this machine. No client takes it.
    File,
}

/// An absolute URL of a web server. Displayed, it has no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    /// User and password, decoded.
    credentials: Option<(String, String)>,
    /// Host, and `:` and a port where one is given.
    authority: String,
    /// Begins with `/`.
    path_and_query: String,
}

/// Why a text is no URL that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It has no scheme.
    #[error("URI is not absolute, and no base URI was provided")]
    NotAbsolute,
    /// It is neither `http` nor `https`.
    #[error("Invalid URI scheme in {0}")]
    Scheme(String),
    /// The host is empty or has characters that no host has.
    #[error("invalid host in {0}")]
    Host(String),
}

impl Url {
    /// Reads an absolute URL. A fragment is dropped.
    ///
    /// # Errors
    /// When there is no scheme, another one than `http` and `https`, or no host.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = split_scheme(text).ok_or(UrlError::NotAbsolute)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(UrlError::Scheme(without_password(text))),
        };
        let rest = rest.strip_prefix("//").ok_or_else(|| UrlError::Host(without_password(text)))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(decode_credentials(userinfo)), host),
            None => (None, authority),
        };
        if !is_host(host) {
            return Err(UrlError::Host(without_password(text)));
        }
        let separator = if path.starts_with('/') { "" } else { "/" };
        let path_and_query = format!("{separator}{}", utf8_percent_encode(path, UNSAFE));
        Ok(Self { scheme, credentials, authority: host.to_ascii_lowercase(), path_and_query })
    }

    /// The URL of a directory of this machine, by its absolute path.
    pub fn of_directory(path: &Path) -> Self {
        let path = path.to_string_lossy();
        Self {
            scheme: Scheme::File,
            credentials: None,
            authority: String::new(),
            path_and_query: utf8_percent_encode(&path, UNSAFE).to_string(),
        }
    }

    /// The URL of a path below this one, which is taken for a directory. Slashes at the joint are
    /// one; a query stays where it is, as `ostree` leaves it.
    pub fn below(&self, path: &str) -> Self {
        let base = self.path_and_query.trim_end_matches('/');
        let path = utf8_percent_encode(path.trim_start_matches('/'), UNSAFE);
        Self { path_and_query: format!("{base}/{path}"), ..self.clone() }
    }

    /// The same, with `%2B` for each plus sign: some servers take that for a space.
    pub(super) fn without_plus_signs(&self) -> Self {
        Self { path_and_query: self.path_and_query.replace('+', "%2B"), ..self.clone() }
    }

    /// What a reference, as in a `Location` header, means from here. Credentials stay only on the
    /// same server.
    ///
    /// # Errors
    /// As [`Url::parse`].
    pub fn resolve(&self, reference: &str) -> Result<Self, UrlError> {
        if split_scheme(reference).is_some() {
            let mut url = Self::parse(reference)?;
            if url.credentials.is_none() && url.is_same_server(self) {
                url.credentials.clone_from(&self.credentials);
            }
            return Ok(url);
        }
        let scheme = self.scheme.as_str();
        if reference.starts_with("//") {
            return self.resolve(&format!("{scheme}:{reference}"));
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let own_path = self.path_and_query.split('?').next().unwrap_or_default();
        let path = match reference.chars().next() {
            None => self.path_and_query.clone(),
            Some('/') => reference.to_owned(),
            Some('?') => format!("{own_path}{reference}"),
            Some(_) => {
                let folder = own_path.rfind('/').map_or("/", |slash| &own_path[..=slash]);
                format!("{folder}{reference}")
            }
        };
        let path_and_query = utf8_percent_encode(&without_dots(&path), UNSAFE).to_string();
        Ok(Self { path_and_query, ..self.clone() })
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, without a port.
    pub fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            _ => &self.authority,
        }
    }

    /// The host, and `:` and a port where one is given.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// The directory that a file is in: the URL up to its last slash, without the query.
    pub fn directory(&self) -> Self {
        let path = self.path();
        let end = path.rfind('/').unwrap_or_default();
        Self { path_and_query: path[..=end].to_owned(), ..self.clone() }
    }

    /// User and password, decoded.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// Whether both lead to the same server: scheme, host and port.
    pub fn is_same_server(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.authority == other.authority
    }

    /// The URL for the HTTP stack, without credentials.
    pub(super) fn request_target(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority, self.path_and_query)
    }
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::File => "file",
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.request_target())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let goes_on =
        bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (starts_well && goes_on).then_some((scheme, rest))
}

/// Letters beyond ASCII would need IDNA; such hosts are written in their `xn--` form.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    let is_name =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let is_address = |inner: &str| {
        !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
    };
    let good_name = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => is_address(inner),
        None => !name.is_empty() && name.bytes().all(is_name),
    };
    good_name && (port.is_empty() || port.parse::<u16>().is_ok())
}

fn decode_credentials(userinfo: &str) -> (String, String) {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (decode(user), decode(password))
}

/// For messages about texts that are no URL.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("//") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}//{}", &rest[at + 1..]),
        None => text.to_owned(),
    }
}

/// Takes `.` and `..` out of a path (RFC 3986, section 5.2.4); a query stays as it is.
fn without_dots(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.find('?') {
        Some(at) => path_and_query.split_at(at),
        None => (path_and_query, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Url::parse(text).map_or_else(|error| error.to_string(), |url| url.to_string())
    }

    #[test]
    fn urls_are_kept_as_they_are() {
        for (text, expected) in [
            ("http://h", "http://h/"),
            ("HTTP://Host:81/A%7e//b?c=/d#e", "http://host:81/A%7e//b?c=/d"),
            ("https://us%40er:pass@h/x", "https://h/x"),
            ("http://[::1]:80/", "http://[::1]:80/"),
            ("http://h?a=b", "http://h/?a=b"),
            ("http://h/a b/ä|", "http://h/a%20b/%C3%A4%7C"),
            ("h/x", "URI is not absolute, and no base URI was provided"),
            ("", "URI is not absolute, and no base URI was provided"),
            ("ftp://u:p@h/x", "Invalid URI scheme in ftp://h/x"),
            ("http:///x", "invalid host in http:///x"),
            ("http://h:99999/", "invalid host in http://h:99999/"),
            ("http://u:secret@h h/", "invalid host in http://h h/"),
            ("http:x", "invalid host in http:x"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        let url = Url::parse("https://us%40er:p%3Aw@h/x").unwrap();
        assert_eq!(url.credentials(), Some(("us@er", "p:w")));
        assert!(!format!("{url:?}").contains("p:w"));
    }

    #[test]
    fn paths_go_below_with_one_slash() {
        let below = |base: &str| Url::parse(base).unwrap().below("/summary").to_string();
        assert_eq!(below("http://h//x//"), "http://h//x/summary");
        assert_eq!(below("http://h"), "http://h/summary");
        assert_eq!(below("http://h/?a=b"), "http://h/?a=b/summary");
    }

    #[test]
    fn references_are_resolved_and_credentials_stay_at_home() {
        let base = Url::parse("http://u:p@h/a/b?q").unwrap();
        for (reference, expected) in [
            ("c", "http://h/a/c"),
            ("../c?d", "http://h/c?d"),
            ("../../../c", "http://h/c"),
            ("/c/./d/..", "http://h/c/"),
            ("?r", "http://h/a/b?r"),
            ("", "http://h/a/b?q"),
            ("//other/x", "http://other/x"),
            ("https://h/x", "https://h/x"),
            ("http://h:8080/x", "http://h:8080/x"),
        ] {
            assert_eq!(base.resolve(reference).unwrap().to_string(), expected, "{reference}");
        }
        assert!(base.resolve("http://h/x").unwrap().credentials().is_some());
        for elsewhere in ["//other/x", "https://h/x", "http://h:8080/x"] {
            assert_eq!(base.resolve(elsewhere).unwrap().credentials(), None, "{elsewhere}");
        }
        assert_eq!(base.resolve("ftp://h/").unwrap_err(), UrlError::Scheme("ftp://h/".to_owned()));
    }
}
