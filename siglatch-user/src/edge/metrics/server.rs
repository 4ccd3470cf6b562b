//! Speaks HTTP/1.1, as much of it as a scrape needs. Never waits for one peer with another, and never keeps a knock waiting:
//! it has a thread of its own, that comes after all others.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use siglatch_common::units::Boot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::MetricsListener;
use super::listener::{Connection, Listening};
use crate::edge::itself;
use crate::edge::{clock, descriptors};
use crate::metrics::{Format, Snapshot};

/// What everybody on this host together can make the daemon hold and do.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once; one more ends the oldest.
    pub connections: usize,
    /// How long a request may take to come.
    pub request: Duration,
    /// How long a connection may last.
    pub connection: Duration,
    /// How old numbers may be: they are read no more often than that.
    pub age: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 8,
            request: Duration::from_secs(5),
            connection: Duration::from_secs(120),
            age: Duration::from_millis(100),
        }
    }
}

/// Serves whoever connects, on a thread of its own, as long as the process lives. `read` gathers the numbers.
///
/// # Errors
/// If the system gives no thread.
pub fn serve(
    listener: MetricsListener,
    bounds: Bounds,
    read: impl Fn() -> Snapshot + Send + Sync + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listening = {
        let _inside = runtime.enter();
        listener.listen()?
    };
    let page = Arc::new(Page { read, age: bounds.age, open_metrics: Mutex::default(), plain: Mutex::default() });
    let serve = move || {
        itself::come_last();
        runtime.block_on(accept(listening, bounds, page))
    };
    thread::Builder::new().name("metrics".into()).spawn(serve)?;
    Ok(())
}

async fn accept<R>(listening: Listening, bounds: Bounds, page: Arc<Page<R>>)
where
    R: Fn() -> Snapshot + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listening.accept().await {
            Ok(stream) => {
                descriptors::are_there();
                stream
            }
            Err(error) => {
                if descriptors::is_want_of_them(&error) {
                    descriptors::are_gone();
                }
                // The others will be done in a while.
                debug!(%error, "a scraper was not accepted");
                sleep(RETRY).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        oldest.retain(|connection| !connection.is_finished());
        if oldest.len() >= bounds.connections
            && let Some(oldest) = oldest.pop_front()
        {
            oldest.abort();
        }
        oldest.push_back(connections.spawn(converse(stream, bounds, Arc::clone(&page))));
    }
}

/// The text, as it was made last.
struct Page<R> {
    read: R,
    age: Duration,
    open_metrics: Made,
    plain: Made,
}

type Made = Mutex<Option<(Boot, Bytes)>>;

impl<R: Fn() -> Snapshot> Page<R> {
    fn text(&self, format: Format) -> Bytes {
        let made = match format {
            Format::OpenMetrics => &self.open_metrics,
            Format::Plain => &self.plain,
        };
        let now = clock::boot();
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, text)) = &*made
            && now.since(*at) < self.age
        {
            return text.clone();
        }
        let text = Bytes::from(format.render(&(self.read)()));
        *made = Some((now, text.clone()));
        text
    }
}

async fn converse<R>(stream: Box<dyn Connection>, bounds: Bounds, page: Arc<Page<R>>)
where
    R: Fn() -> Snapshot + Send + Sync,
{
    let service = service_fn(|request| ready(Ok::<_, Infallible>(answer(&request, &page))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.request)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(bounds.connection, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!(%error, "a scraper's connection has ended"),
    }
}

fn answer<R: Fn() -> Snapshot>(request: &Request<Incoming>, page: &Page<R>) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return told(StatusCode::NOT_FOUND, "there is nothing here but /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = told(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD alone\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::wanted(accept);
    // Of the answer to a HEAD, hyper sends the head alone.
    let mut response = Response::new(Full::from(page.text(format)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn told(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

const PATH: &str = "/metrics";
/// Bytes of a request's head; hyper takes no less.
const HEAD: usize = 8 * 1024;
/// Prometheus sends six.
const HEADERS: usize = 32;
/// For descriptors to become free.
const RETRY: Duration = Duration::from_millis(250);
