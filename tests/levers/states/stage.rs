//! The providers of a sweep: each plays the state that the prompt asks for, up to a moment at
//! which it waits until the stage is released; then it plays on to a good end.
//!
//! A prompt says `play-NUMBER-STATE-`, which every dialect carries. What each exchange asked of
//! whom is on record, in order. Each token is `<<N>>` with a number that is taken before the token
//! is written, so that one with a greater number than the counter shows was written later.

use super::model::State;
use crate::support::{read_request, wait_for};
use firedoor::wire::event::{Block, Channel, Counts, Event, Kind, StopReason, ToolFlavour};
use firedoor::wire::loss::Losses;
use firedoor::wire::{Dialect, Encoder, encode_unary};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Who a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Fails before the one that counts.
    First,
    /// The one that counts.
    Main,
    /// The same, where connections wait.
    Full,
    /// The same, where TLS handshakes wait.
    Secured,
    /// Comes after it.
    Spare,
    /// Where a reroute sends.
    Other,
    /// Where a second reroute sends.
    Third,
}

impl Role {
    pub const ALL: [Role; 7] =
        [Role::First, Role::Main, Role::Full, Role::Secured, Role::Spare, Role::Other, Role::Third];

    /// Its word, in rows of providers too.
    pub fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The words behind which its answers end.
    pub fn mark(self) -> String {
        format!("(by {})", self.word())
    }
}

/// Bytes of each token for a client that does not read.
const FLOOD_BYTES: usize = 4 << 10;
/// A write that moves nothing for so long waits for the client.
const BACKED_UP_AFTER: Duration = Duration::from_millis(300);
/// Requests after which the pause of a provider that fails is a long one.
const REQUESTS_BEFORE_PAUSE: usize = 2;

/// What those do whom an exchange is sent to by a lever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followers {
    /// Whoever takes over answers at once.
    Answer,
    /// Whoever takes over plays as the first one did.
    Play,
}

/// The providers.
pub struct Stage {
    shared: Arc<Shared>,
    addresses: BTreeMap<Role, SocketAddr>,
    door: Socket,
    /// Connections that fill the queue of [`Role::Full`].
    queue: Mutex<Vec<TcpStream>>,
    /// The certificate of whoever signed for [`Role::Secured`].
    pub authority: String,
}

struct Shared {
    released: Mutex<bool>,
    changed: Condvar,
    tokens: AtomicU64,
    known: Mutex<Known>,
    followers: Followers,
    secret: Arc<ServerConfig>,
}

#[derive(Default)]
struct Known {
    asked: BTreeMap<(u32, Role), usize>,
    reached: BTreeSet<(u32, Role)>,
}

impl Stage {
    /// All of them, held.
    pub fn start(followers: Followers) -> Stage {
        let (secret, authority) = secret();
        let shared = Arc::new(Shared {
            released: Mutex::new(false),
            changed: Condvar::new(),
            tokens: AtomicU64::new(0),
            known: Mutex::default(),
            followers,
            secret,
        });
        let door = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        door.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let mut addresses = BTreeMap::new();
        for role in Role::ALL {
            let listener: TcpListener = if role == Role::Full {
                door.listen(0).unwrap();
                door.try_clone().unwrap().into()
            } else {
                TcpListener::bind("127.0.0.1:0").unwrap()
            };
            addresses.insert(role, listener.local_addr().unwrap());
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.serve(role, &listener));
        }
        let stage = Stage { shared, addresses, door, queue: Mutex::default(), authority };
        stage.hold();
        stage
    }

    /// Where a role listens.
    pub fn url(&self, role: Role) -> String {
        let scheme = if role == Role::Secured { "https" } else { "http" };
        format!("{scheme}://{}", self.addresses[&role])
    }

    /// Everybody plays on.
    pub fn release(&self) {
        self.queue.lock().unwrap().clear();
        // Who knocked at a full queue knocks again after a second, all at once.
        self.door.listen(128).unwrap();
        *self.shared.released() = true;
        self.shared.changed.notify_all();
    }

    /// Whoever comes from now on waits again.
    pub fn hold(&self) {
        *self.shared.released() = false;
        self.door.listen(0).unwrap();
        let address = self.addresses[&Role::Full];
        let mut queue = self.queue.lock().unwrap();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            queue.push(stream);
            assert!(queue.len() < 200, "the queue of {address} is never full");
        }
    }

    /// The last token's number.
    pub fn tokens(&self) -> u64 {
        self.shared.tokens.load(Ordering::SeqCst)
    }

    /// How often an exchange has asked a role.
    pub fn asked(&self, number: u32, role: Role) -> usize {
        self.shared.known().asked.get(&(number, role)).copied().unwrap_or(0)
    }

    /// Waits until an exchange is in its state at a role.
    pub fn wait_reached(&self, number: u32, role: Role) {
        wait_for(&format!("exchange {number} to come to its state at {role:?}"), || {
            self.shared.known().reached.contains(&(number, role)).then_some(())
        });
    }
}

impl Shared {
    fn released(&self) -> std::sync::MutexGuard<'_, bool> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_released(&self) {
        let released = self.changed.wait_while(self.released(), |released| !*released);
        drop(released.unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether it is released within `time`.
    fn is_released_in(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.released(), time, |released| !*released);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn serve(self: Arc<Self>, role: Role, listener: &TcpListener) {
        if role == Role::Full {
            listener.set_nonblocking(true).unwrap();
        }
        loop {
            if role == Role::Full {
                self.wait_released();
            }
            match listener.accept() {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&self);
                    std::thread::spawn(move || shared.take(role, stream));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::park_timeout(Duration::from_millis(2));
                }
                Err(error) => panic!("{role:?}: {error}"),
            }
        }
    }

    fn take(&self, role: Role, mut stream: TcpStream) {
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(BACKED_UP_AFTER)).unwrap();
        if role == Role::Secured {
            self.wait_released();
            let connection = ServerConnection::new(Arc::clone(&self.secret)).unwrap();
            self.answer(role, &mut StreamOwned::new(connection, stream));
        } else {
            socket2::SockRef::from(&stream).set_send_buffer_size(16 << 10).unwrap();
            self.answer(role, &mut stream);
        }
    }

    fn answer(&self, role: Role, stream: &mut (impl Read + Write)) {
        let Some(request) = read_request(stream) else { return };
        let request = String::from_utf8_lossy(&request);
        let path = request.split(' ').nth(1).unwrap_or("");
        let dialect = if path.contains("chat/completions") {
            Dialect::OpenaiChat
        } else if path.contains("responses") {
            Dialect::OpenaiResponses
        } else if path.contains("messages") {
            Dialect::Anthropic
        } else if path.contains("v1beta") {
            Dialect::Gemini
        } else {
            Dialect::Bedrock
        };
        let streams = path.contains("streamGenerateContent")
            || path.contains("converse-stream")
            || request.replace(' ', "").contains("\"stream\":true");
        let mut words = request.split("play-").nth(1).unwrap_or("").split('-');
        let number = words.next().and_then(|number| number.parse().ok());
        let state = words.next().and_then(State::of);
        let (Some(number), Some(state)) = (number, state) else {
            panic!("{role:?} is asked by nobody of ours: {request}")
        };
        *self.known().asked.entry((number, role)).or_default() += 1;
        let encoder = Encoder::new(dialect, foreign(dialect));
        let mut play = Play { shared: self, role, number, dialect, streams, encoder, stream };
        // The gateway may have left.
        let _ = play.run(state);
    }
}

/// A dialect that is another: its events make an encoder find the words of its own.
fn foreign(dialect: Dialect) -> Dialect {
    if dialect == Dialect::Anthropic { Dialect::Gemini } else { Dialect::Anthropic }
}

struct Play<'p, S> {
    shared: &'p Shared,
    role: Role,
    number: u32,
    dialect: Dialect,
    streams: bool,
    encoder: Encoder,
    stream: &'p mut S,
}

impl<S: Read + Write> Play<'_, S> {
    fn run(&mut self, state: State) -> std::io::Result<()> {
        match (self.role, state) {
            (Role::First, State::Fallback) => return self.fail(),
            (Role::First, _) => {
                // Dies in the middle.
                self.begin()?;
                self.token("")?;
                return self.token("");
            }
            (Role::Spare, _) => return self.whole(),
            (Role::Other | Role::Third, _) if self.shared.followers == Followers::Answer => {
                return self.whole();
            }
            (Role::Main | Role::Full | Role::Secured | Role::Other | Role::Third, _) => {}
        }
        match state {
            State::Connect | State::Handshake => self.whole(),
            State::Waiting | State::Fallback => {
                self.reach();
                self.shared.wait_released();
                self.whole()
            }
            State::Headed => {
                self.head()?;
                self.reach();
                self.shared.wait_released();
                self.events(vec![start(), open_text()])?;
                self.end()
            }
            State::Half => self.half(),
            State::Pause => {
                if *self.shared.released() {
                    return self.whole();
                }
                let asked = self.shared.known().asked[&(self.number, self.role)];
                if asked >= REQUESTS_BEFORE_PAUSE {
                    self.reach();
                }
                self.fail()
            }
            State::FirstToken | State::Continued => {
                self.begin()?;
                self.token("")?;
                self.reach();
                self.shared.wait_released();
                self.end()
            }
            State::Idle | State::Going => {
                self.begin()?;
                for _ in 0..3 {
                    self.token("")?;
                }
                self.reach();
                self.shared.wait_released();
                self.end()
            }
            State::Busy => {
                self.begin()?;
                self.token("")?;
                self.reach();
                while !self.shared.is_released_in(Duration::from_millis(20)) {
                    self.token("")?;
                }
                self.end()
            }
            State::Unread | State::UnreadGoing => {
                self.begin()?;
                let filling = "x".repeat(FLOOD_BYTES);
                while !*self.shared.released() {
                    self.token(&filling)?;
                }
                self.end()
            }
            State::CallHeld => self.call(),
            State::Last | State::LastGoing => {
                self.begin()?;
                self.token("")?;
                let mut last = ending(&self.role.mark());
                // Gemini's reason is its end mark.
                let held = if self.dialect == Dialect::Gemini { 3 } else { 1 };
                let rest = last.split_off(last.len() - held);
                self.events(last)?;
                self.reach();
                self.shared.wait_released();
                self.events(rest)?;
                self.close()
            }
        }
    }

    fn reach(&self) {
        self.shared.known().reached.insert((self.number, self.role));
    }

    /// Writes all; a client that does not take it is where the exchange should come to.
    fn write(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => self.reach(),
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        self.stream.flush()
    }

    fn fail(&mut self) -> std::io::Result<()> {
        self.write(b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    }

    fn head(&mut self) -> std::io::Result<()> {
        let kind = self.dialect.framing().content_type();
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n").as_bytes())
    }

    /// Each event as a frame, all of them as one chunk.
    fn events(&mut self, events: Vec<Event<'static>>) -> std::io::Result<()> {
        let mut frames = Vec::new();
        for event in events {
            self.encoder.frame(&[event], &mut frames);
        }
        if frames.is_empty() {
            return Ok(());
        }
        let mut chunk = format!("{:x}\r\n", frames.len()).into_bytes();
        chunk.extend(frames);
        chunk.extend(b"\r\n");
        self.write(&chunk)
    }

    fn begin(&mut self) -> std::io::Result<()> {
        self.head()?;
        self.events(vec![start(), open_text()])
    }

    fn token(&mut self, filling: &str) -> std::io::Result<()> {
        let number = self.shared.tokens.fetch_add(1, Ordering::SeqCst) + 1;
        self.events(vec![text(0, Kind::Answer, format!("<<{number}>> {filling}"))])
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.events(ending(&self.role.mark()))?;
        self.close()
    }

    fn close(&mut self) -> std::io::Result<()> {
        self.write(b"0\r\n\r\n")
    }

    /// A whole answer at once, as it was asked for.
    fn whole(&mut self) -> std::io::Result<()> {
        if self.streams {
            self.begin()?;
            return self.end();
        }
        let body = self.body();
        self.write(&unary_head(body.len()))?;
        self.write(&body)
    }

    fn half(&mut self) -> std::io::Result<()> {
        let body = self.body();
        let (first, second) = body.split_at(body.len() / 2);
        self.write(&unary_head(body.len()))?;
        self.write(first)?;
        self.reach();
        self.shared.wait_released();
        self.write(second)
    }

    fn body(&self) -> Vec<u8> {
        let mut events = vec![start(), open_text()];
        events.extend(ending(&self.role.mark()));
        encode_unary(self.dialect, foreign(self.dialect), &events, &mut Losses::default())
    }

    /// Text, then a call of which the first half is there.
    fn call(&mut self) -> std::io::Result<()> {
        let channel = at(1, Kind::ToolArguments);
        let (id, name) = ("call_1".into(), "refund".into());
        let block = Block::Tool { id, name, flavour: ToolFlavour::Function };
        self.begin()?;
        self.token("")?;
        self.events(vec![
            Event::Close { channel: at(0, Kind::Answer) },
            Event::Open { channel, block },
            text(1, Kind::ToolArguments, "{\"amount\":".to_owned()),
        ])?;
        self.reach();
        self.shared.wait_released();
        self.events(vec![
            text(1, Kind::ToolArguments, "4711}".to_owned()),
            Event::Close { channel },
            stop(StopReason::ToolUse),
            usage(),
            Event::End,
        ])?;
        self.close()
    }
}

fn unary_head(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").into_bytes()
}

fn at(block: u16, kind: Kind) -> Channel {
    Channel { choice: 0, block, part: 0, kind }
}

fn start() -> Event<'static> {
    Event::Start { id: "resp_1".into(), model: "m".into(), created: Some(1) }
}

fn open_text() -> Event<'static> {
    Event::Open { channel: at(0, Kind::Answer), block: Block::Text }
}

fn text(block: u16, kind: Kind, text: String) -> Event<'static> {
    Event::Text { channel: at(block, kind), text: text.into(), span: None }
}

fn stop(reason: StopReason) -> Event<'static> {
    Event::Stop { choice: 0, reason, native: "".into() }
}

fn usage() -> Event<'static> {
    let counts = Counts { input: Some(5), output: Some(7), ..Counts::default() };
    Event::Usage { counts, native: "{}".into() }
}

/// The end of an answer, its own mark in it.
fn ending(mark: &str) -> Vec<Event<'static>> {
    vec![
        text(0, Kind::Answer, mark.to_owned()),
        Event::Close { channel: at(0, Kind::Answer) },
        stop(StopReason::EndTurn),
        usage(),
        Event::End,
    ]
}

/// A certificate for this machine, and who signed it.
fn secret() -> (Arc<ServerConfig>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "ours");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    (Arc::new(config), authority.pem())
}
