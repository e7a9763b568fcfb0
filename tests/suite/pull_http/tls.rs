//! TLS with nginx: which certificates a remote trusts, and which it shows.

use std::process::Command;

use super::*;
use crate::support::nginx::{Nginx, openssl};
use crate::support::program;

/// The addresses of the servers, which differ in their certificates.
const GOOD: &str = "127.0.0.1";
const EXPIRED: &str = "127.0.0.2";
const NOT_YET: &str = "127.0.0.3";
const SELF_SIGNED: &str = "127.0.0.4";
const OTHER_NAME: &str = "127.0.0.5";
const WANTS_CERTIFICATE: &str = "127.0.0.6";

/// Keys of a remote with their values.
type Settings<'s> = &'s [(&'s str, &'s str)];

const CA: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nnew_certs_dir = .\n\
    certificate = ca.pem\nprivate_key = ca.key\ndefault_md = sha256\npolicy = any\n\
    rand_serial = yes\nunique_subject = no\nx509_extensions = leaf\n[any]\ncommonName = supplied\n";

/// A certificate of the authority for an address or a client, valid between two times.
fn certify(root: &Path, name: &str, (address, from, until): (&str, &str, &str)) {
    let leaf = format!(
        "{CA}[leaf]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = IP:{address}\n"
    );
    fs::write(root.join("ca.cnf"), leaf).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(root, &format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
    openssl(
        root,
        &format!(
            "ca -batch -notext -config ca.cnf -in {name}.csr -out {name}.pem -startdate {from} \
             -enddate {until}"
        ),
    );
}

/// A server for each kind of certificate, all of the same repository.
fn start() -> Option<Nginx> {
    Nginx::start(|root, port| {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        for (name, subject) in [("ca", "CN=ca"), ("other-ca", "CN=other")] {
            openssl(
                root,
                &format!("req -x509 {key} -subj /{subject} -keyout {name}.key -out {name}.pem"),
            );
        }
        openssl(
            root,
            &format!(
                "req -x509 {key} -subj /CN=own -addext subjectAltName=IP:{SELF_SIGNED} -addext \
                 basicConstraints=critical,CA:FALSE -keyout own.key -out own.pem"
            ),
        );
        fs::write(root.join("index"), "").unwrap();
        let (past, now, future) = ("20200101000000Z", "20210101000000Z", "21990101000000Z");
        certify(root, "good", (GOOD, past, future));
        certify(root, "expired", (EXPIRED, past, now));
        certify(root, "not-yet", (NOT_YET, "21000101000000Z", future));
        certify(root, "other-name", ("127.9.9.9", past, future));
        certify(root, "wants", (WANTS_CERTIFICATE, past, future));
        certify(root, "client", ("127.9.9.8", past, future));
        published(root);
        let root = root.display();
        let server = |address: &str, name: &str, more: &str| {
            format!(
                "listen {address}:{port} ssl http2; root {root}/published;
                 ssl_certificate {root}/{name}.pem; ssl_certificate_key {root}/{name}.key; {more}"
            )
        };
        let others = [
            (EXPIRED, "expired"),
            (NOT_YET, "not-yet"),
            (SELF_SIGNED, "own"),
            (OTHER_NAME, "other-name"),
        ];
        let others =
            others.map(|(address, name)| format!("server {{ {} }}", server(address, name, "")));
        let client = format!("ssl_client_certificate {root}/ca.pem; ssl_verify_client on;");
        let client = format!("server {{ {} }}", server(WANTS_CERTIFICATE, "wants", &client));
        [format!("access_log off; {} {client}", others.join(" ")), server(GOOD, "good", "")]
    })
}

/// Pulls from that address with settings of the remote; what is a file in nginx's directory has an
/// `@` in front.
fn pull_from(nginx: &Nginx, address: &str, settings: &[(&str, &str)]) -> Output {
    let directory = nginx.path("");
    let url = format!("https://{address}:{}", nginx.port);
    let repo = destination(&directory, "repo", ("bare-user", &url));
    for (name, value) in settings {
        let value = match value.strip_prefix('@') {
            Some(file) => nginx.path(file).display().to_string(),
            None => (*value).to_owned(),
        };
        osier().repo(&repo, ["config", "set", "--group=remote \"origin\"", name, &value]).success();
    }
    let output = pull(&repo, &["origin", "main"]);
    if output.status == 0 {
        assert_eq!(rev(&repo, "origin:main"), rev(&nginx.path("published"), "main"));
    } else {
        assert_eq!(osier().repo(&repo, ["refs", "--list"]).success(), "");
    }
    assert_sound(&repo);
    output
}

#[test]
fn certificates_decide_whom_a_pull_trusts() {
    let Some(nginx) = start() else { return };
    let ca = ("tls-ca-path", "@ca.pem");
    pull_from(&nginx, GOOD, &[ca]).success();
    let refusals: [(&str, Settings<'_>, &str); 9] = [
        (GOOD, &[("tls-ca-path", "@other-ca.pem")], "UnknownIssuer"),
        // The machine's own authorities do not count beside those of the remote, nor the reverse.
        (GOOD, &[], "certificate"),
        (EXPIRED, &[ca], "expired"),
        (NOT_YET, &[ca], "not valid yet"),
        (SELF_SIGNED, &[ca], "UnknownIssuer"),
        (OTHER_NAME, &[ca], "not valid for name"),
        (WANTS_CERTIFICATE, &[ca], ""),
        (GOOD, &[("tls-ca-path", "@ca.key")], "has no certificate"),
        (GOOD, &[("tls-ca-path", "@missing.pem")], "missing.pem"),
    ];
    for (address, settings, text) in refusals {
        let started = std::time::Instant::now();
        let error = pull_from(&nginx, address, settings).failure();
        let begin = format!("While fetching https://{address}:{}/summary.sig: ", nginx.port);
        assert!(error.starts_with(&begin), "{address} {settings:?}: {error}");
        assert!(error.contains(text), "{address} {settings:?}: {error}");
        // Certificates do not become better.
        assert!(started.elapsed().as_secs() < 20, "{address}: {:?}", started.elapsed());
    }
    pull_from(&nginx, SELF_SIGNED, &[("tls-ca-path", "@own.pem")]).success();
    for address in [GOOD, EXPIRED, NOT_YET, SELF_SIGNED, OTHER_NAME] {
        pull_from(&nginx, address, &[("tls-permissive", "true")]).success();
    }
    for http2 in ["true", "false"] {
        pull_from(&nginx, GOOD, &[ca, ("http2", http2)]).success();
    }
}

#[test]
fn a_server_that_wants_a_certificate_gets_the_right_one() {
    let Some(nginx) = start() else { return };
    let shown = |certificate: &str, key: &str| {
        let settings = [
            ("tls-ca-path", "@ca.pem"),
            ("tls-client-cert-path", certificate),
            ("tls-client-key-path", key),
        ];
        pull_from(&nginx, WANTS_CERTIFICATE, &settings)
    };
    shown("@client.pem", "@client.key").success();
    // One of nobody that the server knows, and those that are none.
    let error = shown("@own.pem", "@own.key").failure();
    assert!(error.starts_with("While fetching https://127.0.0.6:"), "{error}");
    let error = shown("@client.pem", "@own.key").failure();
    assert!(error.contains("client.pem and ") && error.contains("own.key"), "{error}");
    let error = shown("@client.pem", "@missing.key").failure();
    assert!(error.contains("missing.key"), "{error}");
    let error = shown("@client.key", "@client.key").failure();
    assert!(error.contains("client.key has no certificate"), "{error}");
    let only = [("tls-ca-path", "@ca.pem"), ("tls-client-cert-path", "@client.pem")];
    let error = pull_from(&nginx, WANTS_CERTIFICATE, &only).failure();
    let expected = "Remote \"origin\" must specify both \"tls-client-cert-path\" and \
        \"tls-client-key-path\"";
    assert_eq!(error, expected);
    // Keys of the older kinds, as openssl writes them.
    let Some(openssl) = program("openssl") else { return };
    let sec1 = Command::new(openssl.path)
        .current_dir(nginx.path(""))
        .args(["ec", "-in", "client.key", "-out", "sec1.key"])
        .output()
        .unwrap();
    assert!(sec1.status.success(), "{sec1:?}");
    shown("@client.pem", "@sec1.key").success();
}
