//! The admin protocol's parser against a corpus of lines and what chance makes of them: it never panics, never takes long,
//! and whatever it takes means one thing only.
#![expect(clippy::disallowed_methods, reason = "chance is tried for so long, and not longer")]

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use siglatch_tests::mutation::Numbers;
use siglatch_user::admin::protocol::{Code, REQUEST_MAX, Reply, Request, reply_from_line};
use siglatch_user::admin::{BanPage, GrantPage, Reloaded, Status, Switched, UserPage};

#[test]
fn the_corpus_is_judged_as_its_files_say() -> Result<()> {
    for line in GOOD.lines() {
        let request = Request::from_line(line.as_bytes()).map_err(|problem| anyhow::anyhow!("{line}: {problem}"))?;
        ensure!(Request::from_line(request.to_line().as_bytes()) == Ok(request), "{line}");
    }
    for line in BAD.lines() {
        let Err(problem) = Request::from_line(line.as_bytes()) else { anyhow::bail!("{line} is taken") };
        let is_known = matches!(problem.code, Code::Malformed | Code::Version | Code::UnknownRequest);
        ensure!(is_known && !problem.message.chars().any(char::is_control), "{line}: {problem:?}");
    }
    // Every request is there.
    for name in Request::NAMES {
        ensure!(GOOD.contains(&format!("\"{name}\"")), "the corpus lacks {name}");
    }
    Ok(())
}

#[test]
fn nothing_that_chance_makes_of_the_corpus_is_too_strange() -> Result<()> {
    let lines: Vec<&[u8]> = GOOD.lines().chain(BAD.lines()).map(str::as_bytes).collect();
    let mut numbers = Numbers::seeded(0x5196_1a7c);
    let (begun, mut tried, mut taken) = (Instant::now(), 0_u64, 0_u64);
    while tried < TRIES && begun.elapsed() < LONGEST {
        let line = mutated(&lines, &mut numbers);
        tried += 1;
        let at = Instant::now();
        match Request::from_line(&line) {
            Ok(request) => {
                taken += 1;
                let again = request.to_line();
                ensure!(again.len() <= 2 * REQUEST_MAX && again.find('\n') == Some(again.len() - 1), "{again}");
                ensure!(Request::from_line(again.as_bytes()) == Ok(request), "{}", String::from_utf8_lossy(&line));
            }
            // What is told of a bad line stands in one line as well.
            Err(problem) => ensure!(problem.to_line().find('\n') == Some(problem.to_line().len() - 1), "{problem:?}"),
        }
        ensure!(at.elapsed() < Duration::from_secs(1), "{} takes too long", String::from_utf8_lossy(&line));
        let _ = reply_from_line::<Status>(&line);
        let _ = reply_from_line::<BanPage>(&line);
        let _ = reply_from_line::<GrantPage>(&line);
        let _ = reply_from_line::<UserPage>(&line);
        let _ = reply_from_line::<Reloaded>(&line);
        let _ = reply_from_line::<Switched>(&line);
    }
    ensure!(tried > 1000 && taken > 0, "{taken} of {tried} were requests");
    Ok(())
}

#[test]
fn what_the_daemon_says_is_as_robust() -> Result<()> {
    let reply = Reply::Status(Box::default()).to_line();
    let page = Reply::Grants(GrantPage::default()).to_line();
    let lines = [reply.as_bytes(), page.as_bytes()];
    let mut numbers = Numbers::seeded(7);
    let begun = Instant::now();
    for _ in 0..TRIES / 4 {
        let line = mutated(&lines, &mut numbers);
        let _ = reply_from_line::<Status>(&line);
        let _ = reply_from_line::<GrantPage>(&line);
        if begun.elapsed() > LONGEST {
            break;
        }
    }
    Ok(())
}

/// One of the lines, with nothing to four things done to it.
fn mutated(lines: &[&[u8]], numbers: &mut Numbers) -> Vec<u8> {
    let mut below = |bound: usize| (numbers.next() % bound.max(1) as u64) as usize;
    let mut line = lines[below(lines.len())].to_vec();
    for _ in 0..below(5) {
        let at = below(line.len());
        match below(7) {
            0 if !line.is_empty() => line[at] = below(256) as u8,
            1 if !line.is_empty() => line[at] ^= 1 << below(8),
            2 => line.truncate(at),
            // A piece of another.
            3 => {
                let other = lines[below(lines.len())];
                let from = below(other.len());
                line.splice(at..at, other[from..].iter().copied());
            }
            // A piece twice.
            4 => {
                let piece = line[at..].to_vec();
                line.extend(piece);
            }
            5 => {
                let word = WORDS[below(WORDS.len())];
                line.splice(at..at, word.bytes());
            }
            _ => line.extend(std::iter::repeat_n(b'['.wrapping_add(below(40) as u8), below(REQUEST_MAX))),
        }
    }
    line
}

const GOOD: &str = include_str!("../corpus/admin/good.jsonl");
const BAD: &str = include_str!("../corpus/admin/bad.jsonl");
/// What means something to the parser.
const WORDS: [&str; 12] =
    ["\"", "\\u0000", "\\", "{", "}", "[[[[[[[[", "null", "1e400", "-0", "\"do\":", "\"siglatch\":1,", "\u{202e}"];
const TRIES: u64 = 100_000;
const LONGEST: Duration = Duration::from_secs(5);
