//! A mail server that answers as a test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocket::tokio::time;

/// The server's reaction to a command.
pub enum Act {
    /// Sends the usual answer.
    Usual,
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Sends these bytes again and again.
    Flood(&'static [u8]),
    /// Sends these bytes slowly, one at a time.
    Drip(&'static [u8]),
    /// Sends nothing until the test is over or [`FakeServer::relent`] is called.
    Silence,
    /// Is silent like [`Act::Silence`], and then sends the usual answer.
    Later,
    /// Closes the connection.
    Close,
}

pub fn say(text: &str) -> Act {
    Act::Say(text.as_bytes().to_vec())
}

/// The server's record of connections, commands and mails, and the signals to it.
#[derive(Default)]
struct State {
    connections: AtomicUsize,
    commands: Mutex<Vec<(usize, String)>>,
    mails: Mutex<Vec<(String, String)>>,
    is_over: AtomicBool,
    relents: AtomicBool,
}

type Script = Arc<dyn Fn(&str, usize) -> Act + Send + Sync>;

/// A running server, which stops when it is dropped.
pub struct FakeServer {
    pub port: u16,
    state: Arc<State>,
}

impl FakeServer {
    /// Starts a server on 127.0.0.1. `script` decides on each command of each connection;
    /// `CONNECT` stands for the greeting and `.` for the end of a mail. Connections are
    /// numbered from 1.
    pub fn start(script: impl Fn(&str, usize) -> Act + Send + Sync + 'static) -> Self {
        Self::bound("127.0.0.1", script)
    }

    pub fn bound(
        address: &str,
        script: impl Fn(&str, usize) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (script, shared): (Script, _) = (Arc::new(script), state.clone());
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            while !shared.is_over.load(Ordering::SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let (script, state) = (script.clone(), shared.clone());
                // The thread ends when the client closes the connection.
                std::thread::spawn(move || Talk { stream, script, state, number }.hold());
            }
        });
        FakeServer { port, state }
    }

    /// The server's address for `mail.url`.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Ends every silence: answers the clients that wait, or closes their connections.
    pub fn relent(&self) {
        self.state.relents.store(true, Ordering::SeqCst);
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The commands so far that begin with `start`.
    pub fn commands(&self, start: &str) -> Vec<String> {
        let commands = self.state.commands.lock().unwrap();
        let heard = commands.iter().map(|(_, command)| command);
        heard.filter(|command| command.starts_with(start)).cloned().collect()
    }

    /// The mails that the server has accepted, each with its recipient and text.
    pub fn mails(&self) -> Vec<(String, String)> {
        self.state.mails.lock().unwrap().clone()
    }

    /// The number of accepted mails to `recipient`.
    pub fn mails_to(&self, recipient: &str) -> usize {
        self.mails().iter().filter(|(to, _)| to == recipient).count()
    }

    /// Waits until the server has received `count` commands that begin with `start`.
    pub async fn until(&self, start: &str, count: usize) {
        let waiting = async {
            while self.commands(start).len() < count {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = time::timeout(Duration::from_secs(20), waiting).await;
        assert!(waited.is_ok(), "{start}: {:?}", self.state.commands.lock().unwrap());
    }

    /// Waits until the server has accepted a mail to `recipient`.
    pub async fn until_mail(&self, recipient: &str) {
        let waiting = async {
            while self.mails_to(recipient) == 0 {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = time::timeout(Duration::from_secs(20), waiting).await;
        assert!(waited.is_ok(), "{recipient}: {:?}", self.state.commands.lock().unwrap());
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
    }
}

/// One connection.
struct Talk {
    stream: TcpStream,
    script: Script,
    state: Arc<State>,
    number: usize,
}

impl Talk {
    fn hold(mut self) {
        let mut reader = BufReader::new(self.stream.try_clone().unwrap());
        if !self.act("CONNECT", "220 fake ESMTP\r\n") {
            return;
        }
        let (mut recipient, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            if !matches!(reader.read_line(&mut line), Ok(1..)) {
                return;
            }
            let command = line.trim_end().to_owned();
            self.state.commands.lock().unwrap().push((self.number, command.clone()));
            if let Some(rest) = command.strip_prefix("RCPT TO:<") {
                recipient = rest.trim_end_matches('>').to_owned();
            }
            let usual = match command.split([' ', ':']).next().unwrap() {
                "EHLO" => "250-fake\r\n250 8BITMIME\r\n",
                "DATA" => "354 go on\r\n",
                "QUIT" => "221 bye\r\n",
                _ => "250 2.0.0 ok\r\n",
            };
            if !self.act(&command, usual) || command == "QUIT" {
                return;
            }
            if command == "DATA" && !self.take(&mut reader, &recipient) {
                return;
            }
        }
    }

    /// Reads a mail and answers it. Returns true if the connection stays open.
    fn take(&mut self, reader: &mut impl BufRead, recipient: &str) -> bool {
        let (mut text, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(1..) if line == ".\r\n" => break,
                Ok(1..) => text.push_str(&line),
                _ => return false,
            }
        }
        let end = format!(". {recipient}");
        self.state.commands.lock().unwrap().push((self.number, end.clone()));
        let before = self.state.mails.lock().unwrap().len();
        // A real server has stored the mail before it says so.
        self.state.mails.lock().unwrap().push((recipient.to_owned(), text));
        let goes_on = self.act(&end, "250 2.0.0 taken\r\n");
        let is_refused =
            matches!((self.script)(&end, self.number), Act::Say(said) if !said.starts_with(b"2"));
        if is_refused {
            self.state.mails.lock().unwrap().truncate(before);
        }
        goes_on
    }

    /// Does what the script says. Returns true if the connection stays open.
    fn act(&mut self, command: &str, usual: &str) -> bool {
        let act = (self.script)(command, self.number);
        match act {
            Act::Usual => self.stream.write_all(usual.as_bytes()).is_ok(),
            Act::Say(bytes) => self.stream.write_all(&bytes).is_ok(),
            Act::Flood(bytes) => {
                let many = bytes.repeat(64 * 1024 / bytes.len());
                while !self.is_enough() && self.stream.write_all(&many).is_ok() {}
                false
            }
            Act::Drip(bytes) => {
                for byte in bytes.iter().cycle() {
                    if self.is_enough() || self.stream.write_all(&[*byte]).is_err() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                false
            }
            Act::Silence => {
                self.wait();
                false
            }
            Act::Later => {
                self.wait();
                self.stream.write_all(usual.as_bytes()).is_ok()
            }
            Act::Close => {
                // Avoid a reset, which would discard what was sent before.
                let _ = self.stream.shutdown(std::net::Shutdown::Write);
                let _ = self.stream.set_read_timeout(Some(Duration::from_millis(200)));
                let _ = self.stream.read(&mut [0; 4096]);
                false
            }
        }
    }

    fn wait(&self) {
        while !self.is_enough() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_enough(&self) -> bool {
        self.state.is_over.load(Ordering::SeqCst) || self.state.relents.load(Ordering::SeqCst)
    }
}
