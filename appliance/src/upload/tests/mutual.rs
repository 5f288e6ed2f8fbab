//! Mutual TLS against a real TLS server that asks for a certificate: the embedded backend behind rustls.
//!
//! The certificates beside this file are for tests alone: an authority, a server for 127.0.0.1, a client, and a stranger who
//! signed for himself. They end in a hundred years.

use super::*;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

const AUTHORITY: &[u8] = include_bytes!("tls/authority.pem");
const CLIENT: (&[u8], &[u8]) = (include_bytes!("tls/client.pem"), include_bytes!("tls/client.key"));
const STRANGER: (&[u8], &[u8]) = (include_bytes!("tls/stranger.pem"), include_bytes!("tls/stranger.key"));

/// A backend that only speaks to who shows a certificate of the authority.
struct Guarded {
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
    closing: Arc<std::sync::atomic::AtomicBool>,
}

impl Guarded {
    fn start(backend: Backend) -> Self {
        let certificate = |pem: &[u8]| CertificateDer::from_pem_slice(pem).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate(AUTHORITY)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![certificate(include_bytes!("tls/server.pem"))];
        let config = Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, closing) = (listener.local_addr().unwrap(), Arc::default());
        let told = Arc::clone(&closing);
        let serving = std::thread::spawn(move || serve(&listener, &config, &backend, &told));
        Self { address, serving: Some(serving), closing }
    }

    fn settings(&self, client: Option<(&[u8], &[u8])>) -> UploadSettings {
        let identity =
            |(certificates, key): (&[u8], &[u8])| ClientIdentity { certificates_pem: certificates.to_vec(), key_pem: key.to_vec() };
        UploadSettings {
            roots_pem: Some(AUTHORITY.to_vec()),
            client: client.map(identity),
            token: Some(Token("right-one".to_owned())),
            ..UploadSettings::new(&format!("https://{}", self.address), 7)
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        drop(std::net::TcpStream::connect(self.address));
        if let Some(serving) = self.serving.take() {
            serving.join().unwrap();
        }
    }
}

fn serve(listener: &TcpListener, config: &Arc<ServerConfig>, backend: &Backend, closing: &std::sync::atomic::AtomicBool) {
    while !closing.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else { return };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream);
        // Who shows no certificate, or a stranger's, is gone here.
        let Some(ask) = read(&mut stream) else { continue };
        let answer = backend.answer(ask);
        let mut head = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\nconnection: close\r\n", answer.status, answer.body.len());
        answer.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        let sent = stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(&answer.body));
        stream.conn.send_close_notify();
        drop(sent.and_then(|()| stream.flush()));
    }
}

fn read(stream: &mut impl Read) -> Option<Ask> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ');
            let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
            let headers: Vec<_> =
                lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
            let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
            if bytes.len() >= head.len() + 4 + length {
                let body = bytes.split_off(head.len() + 4);
                return Some(Ask { method, path: target, query: String::new(), headers, body });
            }
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
        }
    }
}

#[test]
fn a_backend_that_asks_for_a_certificate_gets_ours_and_refuses_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let clock = || Timestamp { wall_micros: crate::upload::fixture::NOON, mono_micros: 0 };
    let settings = BackendSettings { token: Some("right-one".to_owned()), ..BackendSettings::new(Arc::new(clock)) };
    let server = Guarded::start(Backend::open(dir.path(), settings).unwrap());
    let outbox = MemoryOutbox::with(30);
    let now = Timestamp { wall_micros: crate::upload::fixture::NOON, mono_micros: 1 };
    for client in [None, Some(STRANGER)] {
        let mut uploader = Uploader::traceability(&server.settings(client), contexts()).unwrap();
        assert!(matches!(uploader.step(&outbox, now), Step::Wait(_)));
        let trouble = uploader.status().trouble.clone().unwrap();
        assert!(trouble.words.contains("no answer"), "{trouble:?}");
        assert_eq!(outbox.counts().waiting, 30);
    }
    // A server that another authority vouches for is not spoken to.
    let foreign = UploadSettings { roots_pem: Some(STRANGER.0.to_vec()), ..server.settings(Some(CLIENT)) };
    let mut uploader = Uploader::traceability(&foreign, contexts()).unwrap();
    assert!(matches!(uploader.step(&outbox, now), Step::Wait(_)));
    let mut uploader = Uploader::traceability(&server.settings(Some(CLIENT)), contexts()).unwrap();
    assert_eq!(drive(&mut uploader, &outbox), []);
    assert_eq!(outbox.counts(), OutboxCounts { kept: 30, delivered: 30, waiting: 0, quarantined: 0 });
    assert!(!format!("{:?}", server.settings(Some(CLIENT))).contains("PRIVATE"));
    let keyless = server.settings(Some((CLIENT.0, b"no key")));
    assert!(matches!(Uploader::traceability(&keyless, contexts()), Err(WireSettingsError::Key)));
}
