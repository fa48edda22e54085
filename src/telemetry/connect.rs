//! One request over one new HTTP/1.1 connection, for a collector or another admin plane.
//!
//! A batch of spans every few seconds or a command needs no pool. Everything is bounded: time by
//! the caller's patience, the answer by [`ANSWER_BYTES_MAX`].

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The most bytes of an answer that are read.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum ConnectFault {
    /// The address is not an `http` or `https` URL with a host.
    Address(String),
    /// No connection.
    Connect(std::io::Error),
    /// No TLS.
    Tls(String),
    /// The connection broke, or the peer does not speak HTTP.
    Http(String),
    /// The answer is too long.
    TooLong,
    /// It took too long.
    Timeout,
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectFault::Address(why) => write!(f, "not a usable address: {why}"),
            ConnectFault::Connect(why) => write!(f, "cannot connect: {why}"),
            ConnectFault::Tls(why) => write!(f, "TLS: {why}"),
            ConnectFault::Http(why) => write!(f, "HTTP: {why}"),
            ConnectFault::TooLong => {
                write!(f, "the answer is longer than {ANSWER_BYTES_MAX} bytes")
            }
            ConnectFault::Timeout => f.write_str("it took too long"),
        }
    }
}

impl std::error::Error for ConnectFault {}

/// A byte stream that HTTP can run on.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects to where `uri` says.
///
/// # Errors
/// A bad address, no connection, or no TLS that the platform's roots trust.
pub async fn connect(uri: &Uri) -> Result<Box<dyn Stream>, ConnectFault> {
    let host = uri.host().ok_or_else(|| ConnectFault::Address("it has no host".to_owned()))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(other) => return Err(ConnectFault::Address(format!("its scheme is `{other}`"))),
        None => return Err(ConnectFault::Address("it has no scheme".to_owned())),
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(ConnectFault::Connect)?;
    // A request is one write; if the option is refused it is merely slower.
    let _ = stream.set_nodelay(true);
    if !tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(bare.to_owned())
        .map_err(|error| ConnectFault::Address(error.to_string()))?;
    let connector = TlsConnector::from(Arc::new(tls_config()?));
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| ConnectFault::Tls(error.to_string()))?;
    Ok(Box::new(stream))
}

fn tls_config() -> Result<rustls::ClientConfig, ConnectFault> {
    let fault = |error: rustls::Error| ConnectFault::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .with_platform_verifier()
        .map_err(fault)?
        .with_no_client_auth())
}

/// Sends `request` over `stream` and returns the answer's head; its body is still to be read.
///
/// The target is sent in origin form and the `host` header is set from the URI where missing.
///
/// # Errors
/// A connection that breaks before the answer's head.
pub async fn send(
    stream: Box<dyn Stream>,
    mut request: Request<Bytes>,
) -> Result<Response<Incoming>, ConnectFault> {
    let http = |error: hyper::Error| ConnectFault::Http(error.to_string());
    let address = |error: &dyn fmt::Display| ConnectFault::Address(error.to_string());
    if !request.headers().contains_key(header::HOST) {
        let authority = request.uri().authority().map_or("localhost", |given| given.as_str());
        // What stands before an `@` is a credential and has no place in a header.
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let host = HeaderValue::from_str(host).map_err(|error| address(&error))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|error| address(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    // Ends with the last byte of the answer, or when the answer is dropped.
    tokio::spawn(async move { drop(connection.await) });
    sender.send_request(request.map(Full::new)).await.map_err(http)
}

/// Reads a whole answer.
///
/// # Errors
/// An answer that breaks off or is too long.
pub async fn read(answer: Response<Incoming>) -> Result<Response<Bytes>, ConnectFault> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            ConnectFault::TooLong
        } else {
            ConnectFault::Http(error.to_string())
        }
    })?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// Connects, sends, and reads the whole answer, all within `patience`.
///
/// # Errors
/// Everything that [`connect`], [`send`] and [`read`] meet, and time running out.
pub async fn request(
    request: Request<Bytes>,
    patience: Duration,
) -> Result<Response<Bytes>, ConnectFault> {
    let whole = async {
        let stream = connect(request.uri()).await?;
        read(send(stream, request).await?).await
    };
    tokio::time::timeout(patience, whole).await.unwrap_or(Err(ConnectFault::Timeout))
}
