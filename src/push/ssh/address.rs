//! Where a repository of another machine is, and how ssh is called for it.

use std::ffi::OsString;

use crate::error::{Error, Result};
use crate::input::quotable;
use crate::process::{Call, shell_line};

/// `ssh://[USER@]HOST[:PORT]/PATH`. Its display is that URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// As it is passed to the far end: absolute, or beginning with `./` if it is relative to the
    /// home directory there.
    path: String,
    url: String,
}

/// How the far end is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// The command line in place of `ssh`, for a shell, as in `GIT_SSH_COMMAND`.
    pub command: Option<String>,
    /// The name or path of osier at the far end; `osier` if it is not given.
    pub receiver: Option<String>,
    /// The environment of ssh, including `PATH`.
    pub environment: Vec<(OsString, OsString)>,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

impl Address {
    /// Reads what follows `ssh://`, with the percent signs of the path not resolved yet; `decode`
    /// does that.
    ///
    /// # Errors
    /// When it names no place that can be passed on safely.
    pub(in crate::push) fn parse(
        rest: &str,
        decode: impl Fn(&str) -> std::path::PathBuf,
    ) -> Result<Self> {
        let refused = |why: &str| {
            // There may be a password in it.
            let shown = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
            Err(Error::failed(format!("'ssh://{}': {why}", quotable(shown))))
        };
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return refused("ssh takes no password from a URL");
        }
        let Some((host, port)) = split_port(place) else {
            return refused("the port is no number from 1 to 65535");
        };
        if host.is_empty() {
            return refused("there is no host");
        }
        let is_name = |name: &str| !name.starts_with('-') && name.chars().all(is_plain);
        if !is_name(host) || !user.is_none_or(|user| !user.is_empty() && is_name(user)) {
            return refused(
                "a host or user has only letters, digits, '.', '_', '-' and '+', and does not begin with '-'",
            );
        }
        let path = decode(&format!("/{path}")).into_os_string().into_string();
        let path = path.ok().filter(|path| !path.contains(char::is_control));
        let path = match path.as_deref().map(|path| (path, path.strip_prefix("/~/"))) {
            None => return refused("the path has control characters, or is no UTF-8"),
            Some(("/", _) | (_, Some(""))) => return refused("there is no path"),
            Some((_, Some(below_home))) => format!("./{below_home}"),
            Some((path, None)) => path.to_owned(),
        };
        let (user, host) = (user.map(str::to_owned), host.to_owned());
        Ok(Self { user, host, port, path, url: format!("ssh://{rest}") })
    }

    /// What messages call the machine.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// How the far end is started.
    ///
    /// # Errors
    /// When there is no ssh.
    pub(super) fn call(&self, options: &SshOptions) -> Result<Call> {
        let receiver = options.receiver.as_deref().unwrap_or("osier");
        if receiver.is_empty() || receiver.starts_with('-') || receiver.contains(char::is_control) {
            let shown = quotable(receiver);
            return Err(Error::failed(format!("'{shown}' is no name of a program")));
        }
        let call = match &options.command {
            None => Call::new(&["ssh".to_owned()], &options.environment)?,
            Some(command) => {
                let script = format!("{command} \"$@\"");
                let shell = ["/bin/sh", "-c", &script, command].map(str::to_owned);
                Call::new(&shell, &options.environment)?
            }
        };
        // No terminal there: it would change bytes.
        let call = call.arg("-T");
        let call = match self.port {
            Some(port) => call.arg("-p").arg(port.to_string()),
            None => call,
        };
        let target = match &self.user {
            Some(user) => format!("{user}@{}", self.host),
            None => self.host.clone(),
        };
        Ok(call.arg(target).arg(shell_line(&[receiver, "receive", &self.path])))
    }
}

/// ssh hands hosts and users on to shells (`ProxyCommand`).
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | ':')
}

/// The host, without the brackets of an IPv6 address, and the port.
fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if host.contains(':') => match port {
            "" => (host, None),
            port => (host, Some(port.strip_prefix(':')?)),
        },
        _ => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match port {
        None => Some((host, None)),
        Some(port) if is_number(port) => {
            port.parse().ok().filter(|port| *port > 0).map(|port| (host, Some(port)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> Result<Address> {
        Address::parse(rest, |path| path.replace("%20", " ").into())
    }

    fn argv(rest: &str, options: &SshOptions) -> Vec<String> {
        let options = SshOptions {
            command: Some(options.command.clone().unwrap_or_else(|| "ssh".to_owned())),
            ..options.clone()
        };
        let call = parse(rest).unwrap().call(&options).unwrap();
        let words = call.argv.into_iter().map(|word| word.into_string().unwrap());
        words.skip(4).collect()
    }

    #[test]
    fn the_words_for_ssh_are_what_the_url_says() {
        let plain = SshOptions::default();
        for (rest, expected) in [
            ("host/srv/repo", vec!["-T", "host", "osier receive /srv/repo"]),
            ("me@host:22/a%20b", vec!["-T", "-p", "22", "me@host", "osier receive '/a b'"]),
            ("[::1]:2222/x", vec!["-T", "-p", "2222", "::1", "osier receive /x"]),
            ("host/~/x", vec!["-T", "host", "osier receive ./x"]),
            ("host/it's;$x", vec!["-T", "host", "osier receive '/it'\\''s;$x'"]),
            ("host/-x", vec!["-T", "host", "osier receive /-x"]),
        ] {
            assert_eq!(argv(rest, &plain), expected, "{rest}");
            assert_eq!(parse(rest).unwrap().to_string(), format!("ssh://{rest}"));
        }
        let options = SshOptions { receiver: Some("/opt/o s/osier".to_owned()), ..plain };
        assert_eq!(argv("h/x", &options)[2], "'/opt/o s/osier' receive /x");
    }

    #[test]
    fn what_would_be_something_else_to_ssh_or_a_shell_is_refused() {
        for (rest, why) in [
            ("-oProxyCommand=x/srv", "a host or user"),
            ("-v@host/srv", "a host or user"),
            ("a b/srv", "a host or user"),
            ("$(x)/srv", "a host or user"),
            ("@host/srv", "a host or user"),
            ("/srv", "there is no host"),
            ("host", "there is no path"),
            ("host/", "there is no path"),
            ("host/~/", "there is no path"),
            ("host:0/srv", "the port"),
            ("host:65536/srv", "the port"),
            ("host:+1/srv", "the port"),
            ("[::1]x/srv", "the port"),
            ("host/a\nb", "the path has control characters"),
            ("me:secret@host/srv", "ssh takes no password"),
        ] {
            let error = parse(rest).unwrap_err().chain();
            assert!(error.contains(why) && !error.contains("secret"), "{rest}: {error}");
        }
        let options = SshOptions { receiver: Some("-x".to_owned()), ..SshOptions::default() };
        let error = parse("host/x").unwrap().call(&options).unwrap_err().chain();
        assert_eq!(error, "'-x' is no name of a program");
    }
}
