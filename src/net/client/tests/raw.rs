//! A peer that writes HTTP/2 frames itself, to end connections as h2's server would not.
//!
//! Source: RFC 9113, sections 4.1 and 6.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;

const PREFACE_LEN: usize = 24;

const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;

/// Serves one connection: takes the whole of the first request, sends GOAWAY with this last stream id, if any, and
/// closes the connection.
pub(super) async fn raw_server(goaway: Option<u32>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    Tasks::new().spawn("raw", async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut preface = [0; PREFACE_LEN];
        socket.read_exact(&mut preface).await.unwrap();
        write(&mut socket, SETTINGS, 0, &[]).await;
        loop {
            let (kind, flags, payload) = read(&mut socket).await;
            match kind {
                SETTINGS if flags & ACK == 0 => write(&mut socket, SETTINGS, ACK, &[]).await,
                PING if flags & ACK == 0 => write(&mut socket, PING, ACK, &payload).await,
                DATA if flags & END_STREAM != 0 => break,
                _ => {}
            }
        }
        if let Some(last) = goaway {
            let no_error = [0; 4];
            write(&mut socket, GOAWAY, 0, &[last.to_be_bytes(), no_error].concat()).await;
        }
    });
    address
}

async fn read(socket: &mut TcpStream) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    socket.read_exact(&mut head).await.unwrap();
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; len as usize];
    socket.read_exact(&mut payload).await.unwrap();
    (head[3], head[4], payload)
}

/// Writes a frame of the connection (stream 0).
async fn write(socket: &mut TcpStream, kind: u8, flags: u8, payload: &[u8]) {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    socket.write_all(&[&[a, b, c, kind, flags, 0, 0, 0, 0], payload].concat()).await.unwrap();
}
