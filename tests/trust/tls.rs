//! TLS on both sides.

use super::start::refused;
use crate::support::{Answer, CASES, Client, Gateway, MockServer, read_request, routes_to};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An authority and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with its key.
struct Signed {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { issuer: Issuer::new(params, key), certificate }
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed { certificate, key }
    }

    fn client(
        &self,
        alpn: &[&[u8]],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

impl Signed {
    /// Certificate and key as files.
    fn write(&self, folder: &Path, mode: u32) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, self.certificate.pem()).unwrap();
        std::fs::write(&key, self.key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        (certificate, key)
    }

    fn server(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

const BOTH: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

fn table(certificate: &Path, key: &Path, routes: &str) -> String {
    format!(
        "[server]\ntls = {{ certificate = '{}', key = '{}' }}\n\n{routes}",
        certificate.display(),
        key.display()
    )
}

type Secured = rustls::StreamOwned<ClientConnection, TcpStream>;

/// A connection after its handshake, or why there is none.
fn secured(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Secured> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    let mut stream = Secured::new(connection, TcpStream::connect(address)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// What is not TLS 1.2 or 1.3 is refused, and ALPN decides between the HTTP versions.
#[test]
fn d3_37_the_data_plane_speaks_tls_12_and_13_and_both_http_versions() {
    let (authority, mock) = (Authority::new("ours"), MockServer::start());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.sign("gate.test", |_| {}).write(folder.path(), 0o600);
    let gateway = Gateway::start(&table(&certificate, &key, &routes_to(&mock.url(), "")));
    let connect = |alpn: &[&[u8]], versions: &[&'static rustls::SupportedProtocolVersion]| {
        secured(gateway.data, "gate.test", authority.client(alpn, versions))
    };
    for version in BOTH {
        let mut stream = connect(&[b"http/1.1"], &[version]).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        let body = CASES[0].body("m", "hello", true);
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: gate.test\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // Closed with a close_notify: a cut is told from an end.
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("[DONE]"), "{text}");
    }
    let h2 = connect(&[b"h2", b"http/1.1"], &BOTH).unwrap();
    assert_eq!(h2.conn.alpn_protocol(), Some(&b"h2"[..]));
    let none = connect(&[], &BOTH).unwrap();
    assert_eq!(none.conn.alpn_protocol(), None);
    let other = connect(&[b"spdy/3"], &BOTH);
    assert!(other.is_err(), "a protocol that we do not speak ends the handshake");

    // TLS 1.0 and 1.1, by hand: this stack cannot say them.
    for minor in [1, 2] {
        let mut hello = vec![3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0, 4, 0xC0, 0x13, 0x00, 0x2F, 1, 0]);
        let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
        message.extend(hello);
        let mut record = vec![0x16, 3, 1, 0, u8::try_from(message.len()).unwrap()];
        record.extend(message);
        let (said, _) = Client::connect(gateway.data).send(&record).rest();
        assert_eq!(said.first(), Some(&0x15), "an alert and nothing else: {said:?}");
        assert_eq!(said.len(), 7, "{said:?}");
    }
    // Plain HTTP is no TLS.
    let (said, _) = Client::connect(gateway.data).send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").rest();
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
}

/// HTTP/2 over TLS, all dialects.
#[test]
fn http2_over_tls() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let (authority, mock) = (Authority::new("ours"), MockServer::start());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.sign("gate.test", |_| {}).write(folder.path(), 0o600);
    let gateway = Gateway::start(&table(&certificate, &key, &routes_to(&mock.url(), "")));
    let config = authority.client(&[b"h2"], &BOTH);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(gateway.data).await.unwrap();
        let name = ServerName::try_from("gate.test").unwrap();
        let tls = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
                .await
                .unwrap();
        tokio::spawn(connection);
        for case in &CASES {
            let request =
                http::Request::post(format!("https://gate.test{}", case.target("m", true)))
                    .header("content-type", "application/json")
                    .body(Full::new(bytes::Bytes::from(case.body("m", "hello", true))))
                    .unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200, "{case:?}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body.starts_with(b"data:") || body.starts_with(b"event:"), "{case:?}");
        }
    });
}

#[test]
fn d3_37_keys_and_certificates_that_cannot_be_used_are_named() {
    let authority = Authority::new("ours");
    let folder = tempfile::tempdir().unwrap();
    let signed = authority.sign("gate.test", |_| {});
    let routes = "[providers.sim]\ndialect = \"simulated\"\n\n[[routes]]\nname = \"r\"\n\
                  targets = [{ provider = \"sim\" }]\n";
    let start = |certificate: &Path, key: &Path| {
        let listen = ["--listen", "127.0.0.1:0"];
        refused(folder.path(), &table(certificate, key, routes), &listen)
    };
    for mode in [0o644, 0o640, 0o604, 0o660] {
        let (certificate, key) = signed.write(folder.path(), mode);
        let said = start(&certificate, &key);
        assert!(said.contains(&format!("mode {mode:o}")) && said.contains("chmod 600"), "{said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
    let (certificate, key) = signed.write(folder.path(), 0o600);
    let nowhere = folder.path().join("nowhere.pem");
    assert!(start(&nowhere, &key).contains("nowhere.pem"));
    assert!(start(&certificate, &nowhere).contains("nowhere.pem"));
    // The one in place of the other, no PEM at all, and a pair that is none.
    let said = start(&key, &key);
    assert!(said.contains("[server.tls]: certificate") && said.contains("key.pem"), "{said}");
    let junk = folder.path().join("junk.pem");
    std::fs::write(&junk, "junk").unwrap();
    std::fs::set_permissions(&junk, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(start(&junk, &key).contains("junk.pem"));
    assert!(start(&certificate, &junk).contains("junk.pem"));
    std::fs::write(&junk, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let said = start(&certificate, &junk);
    assert!(said.contains("certificate and key do not fit"), "{said}");
}

/// A provider over TLS that answers every request the same.
fn provider_with(config: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            std::thread::spawn(move || {
                let mut stream = rustls::StreamOwned::new(connection, stream);
                if read_request(&mut stream).is_some() {
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
                    let rest = "content-length: 2\r\nconnection: close\r\n\r\n{}";
                    let _ = stream.write_all(format!("{head}{rest}").as_bytes());
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            });
        }
    });
    address
}

/// Only a certificate that is trusted, in time and for the name that was asked for will do.
#[test]
fn d3_37_providers_are_verified() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, authority.certificate.pem()).unwrap();
    let variables = [("SSL_CERT_FILE", roots.to_str().unwrap()), ("SSL_CERT_DIR", "/nonexistent")];
    let ask = |signed: &Signed| -> Vec<(Answer, Gateway)> {
        let port = provider_with(signed.server()).port();
        let routes = routes_to(&format!("https://localhost:{port}"), "retry = { attempts = 1 }");
        CASES
            .iter()
            .map(|case| {
                let gateway = Gateway::start_with(&routes, &variables);
                (case.ask(&gateway, "", false).answer(), gateway)
            })
            .collect()
    };
    for (answer, _gateway) in ask(&authority.sign("localhost", |_| {})) {
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    let past = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let future = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    };
    for (what, signed, word) in [
        ("a stranger's", stranger.sign("localhost", |_| {}), "UnknownIssuer"),
        ("another name's", authority.sign("api.example.com", |_| {}), "NotValidForName"),
        ("an expired one", authority.sign("localhost", past), "xpired"),
        ("one of the future", authority.sign("localhost", future), "NotValidYet"),
    ] {
        for (case, (answer, gateway)) in CASES.iter().zip(ask(&signed)) {
            case.assert_refused(&gateway, &answer, 503, "firedoor_unavailable");
            let text = answer.text();
            assert!(text.contains("TLS") && text.contains("certificate"), "{what}: {text}");
            let plain = text.replace([' ', '-'], "").to_lowercase();
            let names_it = plain.contains(&word.to_lowercase())
                || (word == "NotValidForName" && plain.contains("notvalidforname"));
            assert!(names_it, "{what}: {text}");
        }
    }
}

/// A provider that speaks no TLS where it should.
#[test]
fn d3_37_a_provider_without_tls_is_told_of() {
    let mock = MockServer::start();
    let url = format!("https://localhost:{}", mock.address.port());
    let gateway = Gateway::start(&routes_to(&url, "retry = { attempts = 1 }"));
    for case in &CASES {
        let answer = case.ask(&gateway, "", true).answer();
        case.assert_refused(&gateway, &answer, 503, "firedoor_unavailable");
        assert!(answer.text().contains("TLS"), "{}", answer.text());
    }
}
