//! A mail server that follows a script: takes mails or refuses recipients with
//! the codes it is told. TLS and sign-in are tested against a real one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A mail that was taken.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    /// To whom, by the envelope.
    pub to: String,
    /// Headers and body as they came.
    pub text: String,
}

impl ReceivedMail {
    /// A header's value as it stands there.
    pub fn header(&self, name: &str) -> &str {
        self.text
            .lines()
            .take_while(|line| !line.is_empty())
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .unwrap_or_default()
    }
}

#[derive(Default)]
struct Script {
    /// Codes for the next recipients.
    codes: VecDeque<u16>,
    /// The code once those are used up.
    otherwise: u16,
    received: Vec<ReceivedMail>,
    refused: usize,
}

/// A mail server on a free loopback port.
pub struct MockMail {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    accepting: JoinHandle<()>,
}

impl MockMail {
    /// Starts a server that takes everything.
    #[allow(clippy::disallowed_methods)] // aborted when dropped
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let script = Arc::new(Mutex::new(Script {
            otherwise: 250,
            ..Script::default()
        }));
        let accepting = tokio::spawn({
            let script = Arc::clone(&script);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let script = Arc::clone(&script);
                    tokio::spawn(async move {
                        let _ = talk(stream, &script).await;
                    });
                }
            }
        });
        Self {
            address,
            script,
            accepting,
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers the next recipient with this code, such as 450 or 550.
    pub fn next(&self, code: u16) {
        self.script.lock().codes.push_back(code);
    }

    /// Answers every recipient with this code from now on.
    pub fn always(&self, code: u16) {
        self.script.lock().otherwise = code;
    }

    /// Everything taken so far.
    pub fn received(&self) -> Vec<ReceivedMail> {
        self.script.lock().received.clone()
    }

    /// How many recipients were refused so far.
    pub fn refused(&self) -> usize {
        self.script.lock().refused
    }
}

impl Drop for MockMail {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn talk(mut stream: TcpStream, script: &Mutex<Script>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    let mut to = String::new();
    writer.write_all(b"220 mock\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let command = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let answer = match command.as_str() {
            "RCPT" => {
                let mut script = script.lock();
                let code = script.codes.pop_front().unwrap_or(script.otherwise);
                if code == 250 {
                    to = line.trim_start_matches("RCPT TO:<").replace('>', "");
                } else {
                    script.refused += 1;
                }
                format!("{code} as scripted\r\n")
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
                let to = to.clone();
                script.lock().received.push(ReceivedMail { to, text });
                "250 taken\r\n".to_owned()
            }
            "QUIT" => {
                writer.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 mock\r\n".to_owned(),
        };
        writer.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
