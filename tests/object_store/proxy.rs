//! A proxy between client and server that injects faults into chosen requests.
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The connection is cut when the server has this share of the body.
    CutDuring(f64),
    /// The server gets the request and answers it, and the connection is cut before the client has the answer.
    CutAfter,
    /// The server does not get the request. This status and this code are the answer.
    Answer(u16, &'static str),
    /// The answer comes so much later.
    Late(Duration),
}

struct Rule {
    method: &'static str,
    part: String,
    fault: Fault,
    times: usize,
}

#[derive(Default)]
struct Rules {
    rules: Vec<Rule>,
    hits: usize,
    /// The first lines of all requests.
    requests: Vec<String>,
}

pub struct Proxy {
    pub address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
}

impl Proxy {
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Arc::new(Mutex::new(Rules::default()));
        let shared = rules.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let rules = shared.clone();
                // Errors are connections that one of the two ends.
                thread::spawn(move || client.and_then(|client| carry(client, server, &rules)));
            }
        });
        Self { address, rules }
    }

    /// Injects a fault into the next `times` requests of a method whose line contains `part`.
    pub fn inject(&self, method: &'static str, part: &str, fault: Fault, times: usize) {
        self.rules.lock().unwrap().rules.push(Rule { method, part: part.into(), fault, times });
    }

    /// Ends all faults, and returns how many were injected.
    pub fn clear(&self) -> usize {
        let mut rules = self.rules.lock().unwrap();
        rules.rules.clear();
        std::mem::take(&mut rules.hits)
    }

    /// The first lines of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.rules.lock().unwrap().requests.clone()
    }
}

/// Carries one request and its answer, and closes the connection.
fn carry(mut client: TcpStream, server: SocketAddr, rules: &Mutex<Rules>) -> std::io::Result<()> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_string();
    let length =
        head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_string));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    let fault = {
        let mut rules = rules.lock().unwrap();
        let matching = |r: &&mut Rule| r.times > 0 && line.starts_with(r.method) && line.contains(&r.part);
        let fault = rules.rules.iter_mut().find(matching).map(|rule| {
            rule.times -= 1;
            rule.fault
        });
        rules.hits += usize::from(fault.is_some());
        rules.requests.push(line);
        fault
    };
    client.read_exact(&mut body)?;
    let closing = "\r\nconnection: close\r\n\r\n";
    if let Some(Fault::Answer(status, code)) = fault {
        let body = format!("<Error><Code>{code}</Code><Message>Injected.</Message></Error>");
        let length = body.len();
        write!(client, "HTTP/1.1 {status} Injected\r\ncontent-length: {length}{closing}{body}")?;
        return client.shutdown(Shutdown::Both);
    }
    let mut upstream = TcpStream::connect(server)?;
    // One request a connection: the server closes it after the answer.
    let without = head.trim_end().lines().filter(|l| !l.to_ascii_lowercase().starts_with("connection:"));
    let head = without.collect::<Vec<_>>().join("\r\n") + closing;
    upstream.write_all(head.as_bytes())?;
    if let Some(Fault::CutDuring(share)) = fault {
        upstream.write_all(&body[..(body.len() as f64 * share) as usize])?;
        upstream.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    upstream.write_all(&body)?;
    let mut answer = vec![];
    upstream.read_to_end(&mut answer)?;
    match fault {
        Some(Fault::CutAfter) => return client.shutdown(Shutdown::Both),
        Some(Fault::Late(time)) => thread::sleep(time),
        _ => {}
    }
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Both)
}
