//! The configuration of a remote, parsed once.
//!
//! A key that is absent here is looked up in the remote of the same name of the parent repository,
//! and in that one's parent. A remote without any keys has the defaults. A value of the wrong type
//! is an error in the key file's words.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::gvariant::DecodeError;
use crate::keyfile::KeyFile;
use crate::refspec::CollectionId;

/// The names of the keys.
pub mod key {
    /// The base URL, or `mirrorlist=URL`.
    pub const URL: &str = "url";
    /// The URL of a metalink document, instead of `url`.
    pub const METALINK: &str = "metalink";
    /// As `url`, for everything but refs, summary, config and detached metadata.
    pub const CONTENT_URL: &str = "contenturl";
    /// The refs that are pulled when none are given (a list).
    pub const BRANCHES: &str = "branches";
    /// The URL of a proxy.
    pub const PROXY: &str = "proxy";
    /// Whether commits need a GPG signature.
    pub const GPG_VERIFY: &str = "gpg-verify";
    /// Whether the summary needs a GPG signature.
    pub const GPG_VERIFY_SUMMARY: &str = "gpg-verify-summary";
    /// Key files and directories of keys.
    pub const GPG_KEY_PATH: &str = "gpgkeypath";
    /// Whether commits need another signature, or the types of which they need one.
    pub const SIGN_VERIFY: &str = "sign-verify";
    /// The same for the summary.
    pub const SIGN_VERIFY_SUMMARY: &str = "sign-verify-summary";
    /// The collection of the remote's refs.
    pub const COLLECTION_ID: &str = "collection-id";
    /// Whether the server's certificate is not checked.
    pub const TLS_PERMISSIVE: &str = "tls-permissive";
    /// A client certificate, in PEM.
    pub const TLS_CLIENT_CERT_PATH: &str = "tls-client-cert-path";
    /// Its key, in PEM.
    pub const TLS_CLIENT_KEY_PATH: &str = "tls-client-key-path";
    /// The CAs that are trusted instead of the system's, in PEM.
    pub const TLS_CA_PATH: &str = "tls-ca-path";
    /// Whether HTTP/2 may be used.
    pub const HTTP2: &str = "http2";
    /// The file of a token that the remote's servers are shown. Only osier has this key.
    pub const TOKEN_FILE: &str = "token-file";
    /// The file of headers that the remote's servers are sent. Only osier has this key.
    pub const HTTP_HEADER_FILE: &str = "http-header-file";
    /// The URL of the store that has an `s3://` bucket. Only osier has this key and the next ones.
    pub const ENDPOINT: &str = "endpoint";
    /// The region of the bucket.
    pub const REGION: &str = "region";
    /// The profile of the AWS tools that has credentials.
    pub const PROFILE: &str = "profile";
    /// Whether the machine is asked for credentials.
    pub const INSTANCE_CREDENTIALS: &str = "instance-credentials";
    /// The message for users who have yet to configure the remote.
    pub const UNCONFIGURED_STATE: &str = "unconfigured-state";
    /// The program that fetches from this remote instead.
    pub const CUSTOM_BACKEND: &str = "custom-backend";
    /// The key that holds a public key of a signature type itself.
    pub fn verification_key(signature_type: &str) -> String {
        format!("verification-{signature_type}-key")
    }
    /// The key that holds the path of a file of public keys of a signature type.
    pub fn verification_file(signature_type: &str) -> String {
        format!("verification-{signature_type}-file")
    }
}

/// The types of signatures that `sign-verify` may name.
pub const SIGNATURE_TYPES: [&str; 3] = ["ed25519", "spki", "dummy"];

/// The configuration of a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteConfig {
    /// Where refs and the summary are, and everything else if there is no `content`.
    pub location: Location,
    /// Where objects and deltas are.
    pub content: Option<Source>,
    /// The refs that are pulled when none are given.
    pub branches: Vec<String>,
    /// Which signatures are demanded, and the keys for them.
    pub verification: Verification,
    /// How the server is trusted, and what it is shown.
    pub tls: Tls,
    /// The URL of a proxy, instead of the environment's.
    pub proxy: Option<String>,
    /// The collection of the remote's refs, as it is written; [`RemoteConfig::collection`]
    /// validates it.
    pub collection_id: Option<String>,
    /// Whether HTTP/2 may be used.
    pub http2: bool,
    /// Files of secrets that the remote's servers are sent.
    pub secrets: SecretFiles,
    /// How the store of `s3://` URLs is reached.
    pub store: StoreSettings,
    /// Set by a system whose user has yet to configure the remote: what to say instead of pulling.
    pub unconfigured_state: Option<String>,
    /// The program that fetches from this remote instead.
    pub custom_backend: Option<String>,
}

/// Where a remote is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// At one URL, or at those of a list.
    Url(Source),
    /// Where the metalink document at this URL says.
    Metalink(String),
    /// It has neither `url` nor `metalink`.
    Nowhere,
}

/// A base URL, or the URL of a list of them. `Display` writes it as in the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Objects are below this URL.
    Base(String),
    /// Mirrors are listed at this URL.
    MirrorList(String),
}

/// Which signatures a remote's commits and summary need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Whether commits need a GPG signature.
    pub gpg: bool,
    /// Whether the summary needs one.
    pub gpg_summary: bool,
    /// Key files and directories of keys besides the remote's keyring. A parent's do not count.
    pub gpg_key_paths: Vec<PathBuf>,
    /// Which other signatures commits need.
    pub sign: SignVerify,
    /// Which other signatures the summary needs.
    pub sign_summary: SignVerify,
    /// The public keys that are configured for types of signatures.
    pub keys: Vec<VerificationKey>,
}

/// Which signatures besides GPG's are demanded: one good signature of any of the types is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignVerify {
    /// None.
    Off,
    /// One of any known type.
    AnyType,
    /// One of these types.
    Types(Vec<String>),
}

/// Where the public keys of a type of signatures are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationKey {
    /// One of [`SIGNATURE_TYPES`].
    pub signature_type: String,
    /// The key, or a file of keys.
    pub place: KeyPlace,
}

/// Where a public key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In the config.
    Inline(String),
    /// In this file.
    File(PathBuf),
}

/// The keys that start with `tls-`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether the server's certificate is not checked.
    pub permissive: bool,
    /// The CAs that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// What the server is shown.
    pub client: Option<ClientCertificate>,
}

/// Files of secrets that the remote's servers are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFiles {
    /// A token, for `Authorization: Bearer`.
    pub token: Option<PathBuf>,
    /// Headers, one a line.
    pub headers: Option<PathBuf>,
}

/// How the store of a bucket is reached, as far as the remote says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// The URL of the store.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// A profile of the AWS tools.
    pub profile: Option<String>,
    /// Whether the machine is asked for credentials.
    pub instance_credentials: bool,
}

/// A client certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, in PEM.
    pub certificate: PathBuf,
    /// The key, in PEM.
    pub key: PathBuf,
}

impl RemoteConfig {
    /// Parses the keys of the remote `name` in `layers`: the repository's own key file first, then
    /// those of its parents.
    ///
    /// # Errors
    /// In upstream's words for a value of the wrong type, a client certificate without its key, and
    /// key paths with two separators.
    pub(super) fn parse(name: &str, layers: &[KeyFile]) -> Result<Self> {
        let keys = Keys { layers, group: &group_of(name) };
        Ok(Self {
            location: match (keys.text(key::METALINK)?, keys.text(key::URL)?) {
                (Some(metalink), _) => Location::Metalink(metalink),
                (None, Some(url)) => Location::Url(Source::parse(&url)),
                (None, None) => Location::Nowhere,
            },
            content: keys.text(key::CONTENT_URL)?.map(|url| Source::parse(&url)),
            branches: keys.list(key::BRANCHES)?,
            verification: Verification {
                gpg: keys.boolean(key::GPG_VERIFY, true)?,
                gpg_summary: keys.boolean(key::GPG_VERIFY_SUMMARY, false)?,
                gpg_key_paths: keys.gpg_key_paths()?,
                sign: keys.sign_verify(key::SIGN_VERIFY)?,
                sign_summary: keys.sign_verify(key::SIGN_VERIFY_SUMMARY)?,
                keys: keys.verification_keys()?,
            },
            tls: Tls {
                permissive: keys.boolean(key::TLS_PERMISSIVE, false)?,
                ca: keys.text(key::TLS_CA_PATH)?.map(PathBuf::from),
                client: keys.client_certificate(name)?,
            },
            proxy: keys.text_unless_empty(key::PROXY)?,
            collection_id: keys.text_unless_empty(key::COLLECTION_ID)?,
            http2: keys.boolean(key::HTTP2, true)?,
            secrets: SecretFiles {
                token: keys.text(key::TOKEN_FILE)?.map(PathBuf::from),
                headers: keys.text(key::HTTP_HEADER_FILE)?.map(PathBuf::from),
            },
            store: StoreSettings {
                endpoint: keys.text_unless_empty(key::ENDPOINT)?,
                region: keys.text_unless_empty(key::REGION)?,
                profile: keys.text_unless_empty(key::PROFILE)?,
                instance_credentials: keys.boolean(key::INSTANCE_CREDENTIALS, false)?,
            },
            unconfigured_state: keys.text(key::UNCONFIGURED_STATE)?,
            custom_backend: keys.text(key::CUSTOM_BACKEND)?,
        })
    }

    /// That of a server which is no remote: nothing but the URL, or the list of mirrors.
    ///
    /// # Errors
    /// None that is known.
    pub fn of_url(url: &str) -> Result<Self> {
        let location = Location::Url(Source::parse(url));
        Self::parse("", &[]).map(|config| Self { location, ..config })
    }

    /// The collection of the remote's refs.
    ///
    /// # Errors
    /// When what is configured is no collection id.
    pub fn collection(&self) -> Result<Option<CollectionId>> {
        Ok(self.collection_id.as_deref().map(CollectionId::parse).transpose()?)
    }
}

impl Source {
    /// Parses the value of `url` or `contenturl`.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix(MIRROR_LIST) {
            Some(list) => Self::MirrorList(list.to_owned()),
            None => Self::Base(text.to_owned()),
        }
    }
}

const MIRROR_LIST: &str = "mirrorlist=";

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(url) => f.write_str(url),
            Self::MirrorList(url) => write!(f, "{MIRROR_LIST}{url}"),
        }
    }
}

/// The group of the remote with that name.
pub(super) fn group_of(name: &str) -> String {
    format!("remote \"{name}\"")
}

pub(super) fn config_error(error: DecodeError) -> Error {
    Error::failed(error.to_string())
}

/// The value of `url`, without a look at the other keys.
pub(super) fn url(name: &str, layers: &[KeyFile]) -> Result<Option<String>> {
    Keys { layers, group: &group_of(name) }.text(key::URL)
}

/// The groups of a remote, the nearest first.
struct Keys<'k> {
    layers: &'k [KeyFile],
    group: &'k str,
}

impl Keys<'_> {
    /// The nearest layer that has the key.
    fn layer(&self, key: &str) -> Option<&KeyFile> {
        self.layers.iter().find(|keyfile| keyfile.get_raw(self.group, key).is_some())
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        match self.layer(key) {
            Some(keyfile) => keyfile.get(self.group, key).map_err(config_error),
            None => Ok(None),
        }
    }

    fn text_unless_empty(&self, key: &str) -> Result<Option<String>> {
        Ok(self.text(key)?.filter(|text| !text.is_empty()))
    }

    fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        match self.layer(key) {
            Some(keyfile) => {
                Ok(keyfile.get_bool(self.group, key).map_err(config_error)?.unwrap_or(default))
            }
            None => Ok(default),
        }
    }

    fn list(&self, key: &str) -> Result<Vec<String>> {
        match self.layer(key) {
            Some(keyfile) => {
                Ok(keyfile.get_list(self.group, key).map_err(config_error)?.unwrap_or_default())
            }
            None => Ok(Vec::new()),
        }
    }

    /// The members of `gpgkeypath`, which are separated by `;` or by `,`, in the first layer only.
    fn gpg_key_paths(&self) -> Result<Vec<PathBuf>> {
        let Some(keyfile) = self.layers.first() else { return Ok(Vec::new()) };
        let Some(raw) = keyfile.get_raw(self.group, key::GPG_KEY_PATH) else {
            return Ok(Vec::new());
        };
        let separator = match (raw.contains(';'), raw.contains(',')) {
            (true, true) => {
                let key = key::GPG_KEY_PATH;
                return Err(Error::failed(format!(
                    "{key} key value list contains more than one separator"
                )));
            }
            (false, true) => ',',
            _ => ';',
        };
        let text =
            keyfile.get(self.group, key::GPG_KEY_PATH).map_err(config_error)?.unwrap_or_default();
        let mut paths: Vec<&str> = text.split(separator).collect();
        // As upstream, which takes only the last separator for an end.
        if paths.last().is_some_and(|path| path.is_empty()) {
            paths.pop();
        }
        Ok(paths.into_iter().map(PathBuf::from).collect())
    }

    /// `true`, `false`, or a list of types. Upstream writes the list with commas and reads it with
    /// semicolons; here both are read, so that what `remote add` writes works.
    fn sign_verify(&self, key: &str) -> Result<SignVerify> {
        let Some(text) = self.text(key)? else { return Ok(SignVerify::Off) };
        match text.as_str() {
            "" | "false" | "0" => return Ok(SignVerify::Off),
            "true" | "1" => return Ok(SignVerify::AnyType),
            _ => {}
        }
        let mut types: Vec<String> = Vec::new();
        for name in text.split([';', ',']).map(str::trim).filter(|name| !name.is_empty()) {
            if !SIGNATURE_TYPES.contains(&name) {
                return Err(Error::failed("Requested signature type is not implemented"));
            }
            if !types.iter().any(|known| known == name) {
                types.push(name.to_owned());
            }
        }
        Ok(SignVerify::Types(types))
    }

    fn verification_keys(&self) -> Result<Vec<VerificationKey>> {
        let mut keys = Vec::new();
        for signature_type in SIGNATURE_TYPES {
            let inline = self.text(&key::verification_key(signature_type))?.map(KeyPlace::Inline);
            let file = self.text(&key::verification_file(signature_type))?;
            let places = [inline, file.map(|path| KeyPlace::File(path.into()))];
            keys.extend(
                places.into_iter().flatten().map(|place| VerificationKey {
                    signature_type: signature_type.to_owned(),
                    place,
                }),
            );
        }
        Ok(keys)
    }

    fn client_certificate(&self, name: &str) -> Result<Option<ClientCertificate>> {
        match (self.text(key::TLS_CLIENT_CERT_PATH)?, self.text(key::TLS_CLIENT_KEY_PATH)?) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                Ok(Some(ClientCertificate { certificate: certificate.into(), key: key.into() }))
            }
            _ => Err(Error::failed(format!(
                "Remote \"{name}\" must specify both \"{}\" and \"{}\"",
                key::TLS_CLIENT_CERT_PATH,
                key::TLS_CLIENT_KEY_PATH
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(layers: &[&str]) -> Result<RemoteConfig, String> {
        let layers: Vec<_> = layers
            .iter()
            .map(|keys| KeyFile::parse(&format!("[remote \"o\"]\n{keys}\n")).unwrap())
            .collect();
        RemoteConfig::parse("o", &layers).map_err(|error| error.chain())
    }

    fn base(url: &str) -> Source {
        Source::Base(url.to_owned())
    }

    fn list(url: &str) -> Source {
        Source::MirrorList(url.to_owned())
    }

    #[test]
    fn a_remote_without_keys_has_the_defaults() {
        let expected = RemoteConfig {
            location: Location::Nowhere,
            content: None,
            branches: Vec::new(),
            verification: Verification {
                gpg: true,
                gpg_summary: false,
                gpg_key_paths: Vec::new(),
                sign: SignVerify::Off,
                sign_summary: SignVerify::Off,
                keys: Vec::new(),
            },
            tls: Tls { permissive: false, ca: None, client: None },
            proxy: None,
            collection_id: None,
            http2: true,
            secrets: SecretFiles { token: None, headers: None },
            store: StoreSettings::default(),
            unconfigured_state: None,
            custom_backend: None,
        };
        assert_eq!(parse(&[]), Ok(expected.clone()));
        assert_eq!(parse(&["proxy=\ncollection-id=\nsign-verify=\ngpgkeypath="]), Ok(expected));
    }

    #[test]
    fn a_remote_is_at_a_url_a_list_of_mirrors_or_a_metalink() {
        for (keys, location, content) in [
            ("url=http://h/r", Location::Url(base("http://h/r")), None),
            ("url=mirrorlist=http://h/l", Location::Url(list("http://h/l")), None),
            ("url=metalink=http://h/m", Location::Url(base("metalink=http://h/m")), None),
            ("metalink=http://h/m", Location::Metalink("http://h/m".to_owned()), None),
            (
                "url=http://h/r\nmetalink=http://h/m",
                Location::Metalink("http://h/m".to_owned()),
                None,
            ),
            ("url=\ncontenturl=http://c", Location::Url(base("")), Some(base("http://c"))),
            ("contenturl=mirrorlist=http://c/l", Location::Nowhere, Some(list("http://c/l"))),
        ] {
            let config = parse(&[keys]).unwrap();
            assert_eq!((config.location, config.content), (location, content), "{keys}");
        }
        for text in ["http://h/r", "mirrorlist=http://h/l", ""] {
            assert_eq!(Source::parse(text).to_string(), text);
        }
    }

    #[test]
    fn verification_is_read_with_its_keys() {
        let types = |names: &[&str]| {
            SignVerify::Types(names.iter().map(|name| (*name).to_owned()).collect())
        };
        for (value, expected) in [
            ("", SignVerify::Off),
            ("0", SignVerify::Off),
            ("false", SignVerify::Off),
            ("1", SignVerify::AnyType),
            ("true", SignVerify::AnyType),
            ("ed25519", types(&["ed25519"])),
            ("spki;ed25519;", types(&["spki", "ed25519"])),
            ("ed25519,spki", types(&["ed25519", "spki"])),
            ("dummy, ed25519;dummy", types(&["dummy", "ed25519"])),
        ] {
            let config =
                parse(&[&format!("sign-verify={value}\nsign-verify-summary={value}")]).unwrap();
            assert_eq!(config.verification.sign, expected, "{value}");
            assert_eq!(config.verification.sign_summary, expected, "{value}");
        }
        let keys = "gpg-verify=false\ngpg-verify-summary=true\nverification-spki-file=/k\n\
            verification-spki-key=K=\nverification-ed25519-key=E";
        let verification = parse(&[keys]).unwrap().verification;
        assert_eq!((verification.gpg, verification.gpg_summary), (false, true));
        let key = |signature_type: &str, place| VerificationKey {
            signature_type: signature_type.to_owned(),
            place,
        };
        let expected = [
            key("ed25519", KeyPlace::Inline("E".to_owned())),
            key("spki", KeyPlace::Inline("K=".to_owned())),
            key("spki", KeyPlace::File("/k".into())),
        ];
        assert_eq!(verification.keys, expected);
        for (value, expected) in
            [("/a", &["/a"][..]), ("/a;/b;", &["/a", "/b"]), ("/a,/b", &["/a", "/b"])]
        {
            let paths =
                parse(&[&format!("gpgkeypath={value}")]).unwrap().verification.gpg_key_paths;
            assert_eq!(paths, expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{value}");
        }
    }

    #[test]
    fn what_is_left_is_read_as_it_stands() {
        let keys = "branches=a;b/c;\nproxy=http://p\ncollection-id=org.example.Os\nhttp2=false\n\
            tls-permissive=1\ntls-ca-path=/ca\ntls-client-cert-path=/c\ntls-client-key-path=/k\n\
            unconfigured-state=sub\ncustom-backend=x";
        let config = parse(&[keys]).unwrap();
        assert_eq!(config.branches, ["a", "b/c"]);
        assert_eq!((config.proxy.as_deref(), config.http2), (Some("http://p"), false));
        assert_eq!(config.collection().unwrap(), CollectionId::parse("org.example.Os").ok());
        let client = ClientCertificate { certificate: "/c".into(), key: "/k".into() };
        assert_eq!(
            config.tls,
            Tls { permissive: true, ca: Some("/ca".into()), client: Some(client) }
        );
        assert_eq!(config.unconfigured_state.as_deref(), Some("sub"));
        assert_eq!(config.custom_backend.as_deref(), Some("x"));
        let config = parse(&["collection-id=nope"]).unwrap();
        assert_eq!(config.collection().unwrap_err().chain(), "Invalid collection ID nope");
    }

    #[test]
    fn wrong_values_are_refused_in_upstreams_words() {
        let uninterpretable = |key: &str| {
            format!("Key file contains key “{key}” which has a value that cannot be interpreted.")
        };
        let both =
            "Remote \"o\" must specify both \"tls-client-cert-path\" and \"tls-client-key-path\"";
        let unknown = "Requested signature type is not implemented";
        for (keys, expected) in [
            ("http2=maybe", uninterpretable("http2")),
            ("gpg-verify=yes", uninterpretable("gpg-verify")),
            ("gpg-verify-summary=", uninterpretable("gpg-verify-summary")),
            ("tls-permissive=2", uninterpretable("tls-permissive")),
            ("url=a\\q", uninterpretable("url")),
            ("branches=a\\", uninterpretable("branches")),
            ("tls-client-cert-path=/c", both.to_owned()),
            ("tls-client-key-path=/k", both.to_owned()),
            ("sign-verify=gpg", unknown.to_owned()),
            ("sign-verify-summary=ed25519;nope", unknown.to_owned()),
            (
                "gpgkeypath=/a;/b,/c",
                "gpgkeypath key value list contains more than one separator".to_owned(),
            ),
        ] {
            assert_eq!(parse(&[keys]), Err(expected), "{keys}");
        }
    }

    #[test]
    fn keys_that_are_absent_here_are_the_parents() {
        let own = "url=http://own\ngpg-verify=false";
        let parent =
            "url=http://parent\ngpg-verify=true\nhttp2=false\nbranches=p;\ngpgkeypath=/parent";
        let grandparent = "contenturl=http://c\nhttp2=true\nmetalink=";
        let config = parse(&[own, parent, grandparent]).unwrap();
        assert_eq!(config.location, Location::Metalink(String::new()));
        assert!(!config.verification.gpg && !config.http2);
        assert_eq!(config.branches, ["p"]);
        assert_eq!(config.content, Some(base("http://c")));
        // Paths of keys are not inherited.
        assert_eq!(config.verification.gpg_key_paths, Vec::<PathBuf>::new());
    }
}
