//! A cookie as a line of a jar, and which requests it goes with. No I/O.

/// What a line begins with whose cookie scripts of a browser must not see.
const HTTP_ONLY: &str = "#HttpOnly_";

/// One cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The domain as the jar has it: a host, perhaps behind a dot, perhaps behind `#HttpOnly_`.
    pub domain: String,
    /// Whether hosts below the domain get it, too.
    pub subdomains: bool,
    /// What the path of a request must begin with.
    pub path: String,
    /// Whether only TLS may carry it.
    pub secure: bool,
    /// When it ends, in seconds since 1970; 0 for never.
    pub expires: i64,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The host, without a port.
    pub host: &'a str,
    /// The path, without a query.
    pub path: &'a str,
    /// Whether the request goes over TLS.
    pub secure: bool,
}

impl Cookie {
    /// Reads a line without its end. Fields are separated by tabs; where there are not seven of
    /// them, by any blanks, and what stands behind the seventh is not looked at. `None` for
    /// comments and whatever else is no cookie.
    pub(super) fn parse(line: &str) -> Option<Self> {
        if is_comment(line) {
            return None;
        }
        Self::parse_strictly(line).or_else(|| {
            let mut fields = line.split_ascii_whitespace();
            Self::from_fields([(); 7].map(|()| fields.next()))
        })
    }

    /// The same for a cookie that is to be sent: it has seven fields, separated by tabs.
    pub(super) fn parse_strictly(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let first = [(); 7].map(|()| fields.next());
        match fields.next() {
            None if !is_comment(line) => Self::from_fields(first),
            _ => None,
        }
    }

    fn from_fields(fields: [Option<&str>; 7]) -> Option<Self> {
        let [domain, subdomains, path, secure, expires, name, value] = fields;
        Some(Self {
            domain: domain?.to_owned(),
            subdomains: subdomains?.eq_ignore_ascii_case("TRUE"),
            path: path?.to_owned(),
            secure: secure?.eq_ignore_ascii_case("TRUE"),
            expires: expires?.parse().ok()?,
            name: name?.to_owned(),
            value: value?.to_owned(),
        })
    }

    /// The line of the cookie, without its end.
    pub(super) fn to_line(&self) -> String {
        let word = |value: bool| if value { "TRUE" } else { "FALSE" };
        let (subdomains, secure) = (word(self.subdomains), word(self.secure));
        let Self { domain, path, expires, name, value, .. } = self;
        format!("{domain}\t{subdomains}\t{path}\t{secure}\t{expires}\t{name}\t{value}")
    }

    /// Whether a line of a jar can hold it, and a request send it.
    pub(super) fn is_writable(&self) -> bool {
        let fields = [&self.domain, &self.path, &self.name, &self.value];
        let has_control = |field: &&String| field.contains(char::is_control);
        let is_missing = [&self.domain, &self.path, &self.name].iter().any(|text| text.is_empty());
        !is_missing && !is_comment(&self.domain) && !fields.iter().any(has_control)
    }

    /// Whether a request for `target` takes it along at `now`, in seconds since 1970.
    pub(super) fn goes_to(&self, target: &Target<'_>, now: i64) -> bool {
        let is_sendable = !self.name.is_empty() && self.is_writable();
        is_sendable
            && (target.secure || !self.secure)
            && (self.expires == 0 || self.expires > now)
            && self.is_for_host(target.host)
            && self.is_for_path(target.path)
    }

    fn is_for_host(&self, host: &str) -> bool {
        let domain = self.host();
        if host.eq_ignore_ascii_case(domain) {
            return true;
        }
        // An address has no hosts below it.
        let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        let ending = host.len().checked_sub(domain.len()).and_then(|start| host.get(start..));
        let is_below = ending.is_some_and(|ending| {
            ending.eq_ignore_ascii_case(domain) && host[..host.len() - ending.len()].ends_with('.')
        });
        self.subdomains && !is_address && is_below
    }

    fn is_for_path(&self, path: &str) -> bool {
        let own = self.request_path();
        let path = if path.starts_with('/') { path } else { "/" };
        let rest = path.strip_prefix(own);
        own == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Its domain as a host.
    pub(super) fn host(&self) -> &str {
        let domain = self.domain.strip_prefix(HTTP_ONLY).unwrap_or(&self.domain);
        domain.strip_prefix('.').unwrap_or(domain)
    }

    /// Its path as it is compared: absolute, and without a slash at its end.
    pub(super) fn request_path(&self) -> &str {
        match self.path.strip_suffix('/').unwrap_or(&self.path) {
            path if path.starts_with('/') => path,
            _ => "/",
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.starts_with('#') && !line.starts_with(HTTP_ONLY)
}
