//! A small client of the API, for commands: over the unix socket, or over HTTP with a token.

use crate::table::Secret;
use crate::telemetry::connect::{self, ConnectFault};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use hyper::body::Incoming;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;

/// How long a whole answer may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where a gateway's API is.
#[derive(Clone, Debug)]
pub enum Address {
    /// A unix socket; being able to connect is being allowed.
    Unix(PathBuf),
    /// `http://` or `https://` with a host; the path in front of the API's, if any, is kept.
    Http {
        /// The base URL.
        base: Uri,
        /// The token.
        token: Option<Secret>,
    },
}

impl Address {
    /// Reads `unix:/path`, `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str, token: Option<&str>) -> Result<Address, ConnectFault> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        let base: Uri =
            text.parse().map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
        if !matches!(base.scheme_str(), Some("http" | "https")) || base.host().is_none() {
            return Err(bad(format!("`{text}` is none of unix:PATH, http://HOST, https://HOST")));
        }
        Ok(Address::Http { base, token: token.map(Secret::new) })
    }
}

fn bad(why: String) -> ConnectFault {
    ConnectFault::Address(why)
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A client of one gateway. Each call is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
}

impl Client {
    /// A client of the gateway at `address`.
    pub fn new(address: Address) -> Client {
        Client { address }
    }

    /// Asks for `path`, such as `/api/v1/status`.
    ///
    /// # Errors
    /// No whole answer; an answer that says no is an [`Answer`].
    pub async fn get(&self, path: &str) -> Result<Answer, ConnectFault> {
        self.whole(self.request(Method::GET, path, None, Bytes::new())?).await
    }

    /// Posts `body`, or nothing for `null`, to `path`; if the live table is `epoch`, where given.
    ///
    /// # Errors
    /// No whole answer; an answer that says no is an [`Answer`].
    pub async fn post(
        &self,
        path: &str,
        body: &Value,
        epoch: Option<u64>,
    ) -> Result<Answer, ConnectFault> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.whole(self.request(Method::POST, path, epoch, body)?).await
    }

    /// Deletes `path`, saying `body`.
    ///
    /// # Errors
    /// No whole answer; an answer that says no is an [`Answer`].
    pub async fn delete(&self, path: &str, body: &Value) -> Result<Answer, ConnectFault> {
        let body = Bytes::from(body.to_string());
        self.whole(self.request(Method::DELETE, path, None, body)?).await
    }

    /// Asks for `path` and leaves the body to be read as it comes, such as that of
    /// `/api/v1/events`.
    ///
    /// # Errors
    /// No answer.
    pub async fn open(&self, path: &str) -> Result<Response<Incoming>, ConnectFault> {
        let request = self.request(Method::GET, path, None, Bytes::new())?;
        let head = self.send(request);
        tokio::time::timeout(PATIENCE, head).await.unwrap_or(Err(ConnectFault::Timeout))
    }

    async fn whole(&self, request: Request<Bytes>) -> Result<Answer, ConnectFault> {
        let whole = async { connect::read(self.send(request).await?).await };
        let answer =
            tokio::time::timeout(PATIENCE, whole).await.unwrap_or(Err(ConnectFault::Timeout))?;
        Ok(Answer { status: answer.status().as_u16(), body: answer.into_body() })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Incoming>, ConnectFault> {
        let stream = match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(ConnectFault::Connect)?;
                Box::new(stream)
            }
            Address::Http { .. } => connect::connect(request.uri()).await?,
        };
        connect::send(stream, request).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        epoch: Option<u64>,
        body: Bytes,
    ) -> Result<Request<Bytes>, ConnectFault> {
        let uri = match &self.address {
            Address::Unix(_) => format!("http://localhost{path}"),
            Address::Http { base, .. } => {
                format!("{}{path}", base.to_string().trim_end_matches('/'))
            }
        };
        let mut builder = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::ACCEPT, "application/json, application/problem+json, */*");
        if !body.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(epoch) = epoch {
            builder = builder.header(header::IF_MATCH, format!("\"{epoch}\""));
        }
        if let Address::Http { token: Some(token), .. } = &self.address {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| {
                    bad("the token has characters that a header cannot hold".to_owned())
                })?;
            value.set_sensitive(true);
            builder = builder.header(header::AUTHORIZATION, value);
        }
        builder.body(body).map_err(|error| bad(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sockets_or_urls() {
        let unix = Address::parse("unix:/run/x.sock", None).unwrap();
        assert!(matches!(unix, Address::Unix(path) if path.as_os_str() == "/run/x.sock"));
        assert!(Address::parse("http://127.0.0.1:4801", Some("t")).is_ok());
        for text in ["", "127.0.0.1:4801", "ftp://x", "/run/x.sock", "http://"] {
            assert!(Address::parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let address = Address::parse("http://h", Some("s3cret")).unwrap();
        let client = Client::new(address);
        assert!(!format!("{client:?}").contains("s3cret"));
        let request = client.request(Method::GET, "/x", None, Bytes::new()).unwrap();
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
