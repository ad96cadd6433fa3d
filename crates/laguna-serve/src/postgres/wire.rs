//! The bytes of one connection: whole messages in, a buffer out.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A stream in the clear or in TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Bytes of a message before the login, and after it.
pub(super) const SMALL: usize = 64 << 10;
pub(super) const LARGE: usize = 64 << 20;
/// Bytes that are read ahead while a statement runs.
const AHEAD: usize = 1 << 20;
/// Bytes that are gathered before they are sent.
pub(super) const FULL: usize = 64 << 10;

pub(super) struct Wire {
    pub(super) stream: Box<dyn Stream>,
    read: BytesMut,
    pub(super) out: BytesMut,
    pub(super) limit: usize,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Wire {
        Wire { stream, read: BytesMut::with_capacity(4096), out: BytesMut::with_capacity(4096), limit: SMALL }
    }

    /// The first message, which has no type: its body without the length. `None` when the client has gone.
    pub(super) async fn first(&mut self) -> io::Result<Option<Bytes>> {
        self.frame(0).await.map(|frame| frame.map(|(_, body)| body))
    }

    /// The next message: type and body.
    pub(super) async fn next(&mut self) -> io::Result<Option<(u8, Bytes)>> {
        self.frame(1).await
    }

    /// Loses nothing when it is dropped half-way.
    async fn frame(&mut self, kind: usize) -> io::Result<Option<(u8, Bytes)>> {
        loop {
            if let Some(head) = self.read.get(kind..kind + 4) {
                let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
                if !(4..=self.limit).contains(&length) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a message has an impossible length",
                    ));
                }
                if self.read.len() >= kind + length {
                    let mut frame = self.read.split_to(kind + length);
                    let first = frame[0];
                    frame.advance(kind + 4);
                    return Ok(Some((first, frame.freeze())));
                }
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Whether bytes were sent that nobody has read yet.
    pub(super) fn is_ahead(&self) -> bool {
        !self.read.is_empty()
    }

    /// Ends when the client has gone. What it sends meanwhile is kept.
    pub(super) async fn gone(&mut self) {
        while self.read.len() < AHEAD {
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
        }
        self.stream.flush().await
    }

    /// Sends when much has been gathered.
    pub(super) async fn relieve(&mut self) -> io::Result<()> {
        match self.out.len() >= FULL {
            true => self.flush().await,
            false => Ok(()),
        }
    }
}
