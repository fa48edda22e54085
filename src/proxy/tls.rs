//! TLS on both sides: rustls with aws-lc-rs, TLS 1.2 and 1.3 only, platform roots.

use crate::table::Tls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig};
use rustls_platform_verifier::BuilderVerifierExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// What the data plane says over TLS: HTTP/2 first.
const ALPN_SERVER: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The client configuration for providers: HTTP/1.1, verified by the platform's roots.
///
/// Built at the first use, because loading the platform's roots takes some milliseconds that a
/// start should not wait for.
///
/// # Errors
/// The platform's verifier cannot be set up.
pub fn client() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_platform_verifier()
                .map_err(|error| error.to_string())?
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        })
        .clone()
}

/// The server configuration of the data plane.
///
/// # Errors
/// A file cannot be read or used, or others than its owner may read the key; the text says which
/// and what to do.
pub fn server(tls: &Tls) -> Result<Arc<ServerConfig>, String> {
    refuse_readable_key(&tls.key)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| format!("certificate {}: {error}", tls.certificate.display()))?;
    if chain.is_empty() {
        return Err(format!("certificate {}: no certificate in it", tls.certificate.display()));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|error| format!("key {}: {error}", tls.key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("certificate and key do not fit: {error}"))?;
    config.alpn_protocols = ALPN_SERVER.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn refuse_readable_key(key: &Path) -> Result<(), String> {
    let mode = std::fs::metadata(key)
        .map_err(|error| format!("key {}: {error}", key.display()))?
        .permissions()
        .mode();
    let open_to_others = mode & 0o077;
    if open_to_others == 0 {
        return Ok(());
    }
    Err(format!(
        "key {}: others may read it (mode {:o}); run `chmod 600 {}`",
        key.display(),
        mode & 0o777,
        key.display()
    ))
}
