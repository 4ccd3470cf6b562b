//! The program at its interfaces, over years: attached where one appears, and again where it was taken away. Never loads the
//! program, and never takes another's place.
//!
//! Works with the descriptors that it holds: needs CAP_NET_ADMIN, and a pin folder that it may write to.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use super::attach::{self, Mode};
use super::ground::known_interfaces;
use super::link::Link;
use super::pins::{Held, Pins};
use super::{PinNews, XdpError};
use crate::config::Attach;
use crate::edge::clock;
use crate::edge::network::{Found, Network};
use crate::retry::Retry;

/// Every interface that the program belongs to.
pub struct Posts {
    program: OwnedFd,
    /// The kernel's number of the program.
    number: u32,
    wanted: Attach,
    pins: Pins,
    held: Held,
    posts: Vec<Post>,
}

/// One of them.
struct Post {
    interface: String,
    standing: Standing,
    /// What it is attached by; kept open, so that no pin needs to be there.
    hold: Option<Hold>,
    /// How often it was attached.
    times: u32,
    /// After a failure, when it is tried again.
    later: Option<Retry>,
}

struct Hold {
    link: Link,
    index: u32,
    mode: Mode,
}

/// How it stands with an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// The program runs there.
    Attached(Mode),
    /// It runs there, but the interface has another name by now.
    Renamed {
        /// Its name by now.
        to: String,
    },
    /// There is no such interface.
    Waiting {
        /// Those there are.
        known: String,
    },
    /// Somebody else's program is there, by the kernel's number of it.
    Occupied(u32),
    /// Somebody else's program runs through our own link.
    Replaced(u32),
    /// The interface does not take the program, and why.
    Refused(String),
    /// It was taken down on purpose, link and pin.
    TakenDown,
}

/// What has changed about an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostNews {
    /// Which one.
    pub interface: String,
    /// How it stood; nothing if it is new.
    pub before: Option<Standing>,
    /// How it stands; nothing if it is not to be watched any more.
    pub now: Option<Standing>,
}

/// What is to be done about an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Duty {
    /// All is well.
    Keep,
    /// It is there under another name.
    Follow,
    /// It is not there.
    Wait,
    /// Somebody else is there.
    StandBack(u32),
    /// Somebody else has taken our place by our link.
    Replace(u32),
    /// The program was taken down on purpose.
    Leave,
    /// The program must get there.
    Attach,
}

/// What is seen of an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Sight {
    /// The interface of that name.
    here: Option<Found>,
    /// The number of the interface that it was attached to.
    held: Option<u32>,
    /// Whether it still is.
    attached: bool,
    /// What runs there by our own link, if it is not our program.
    replaced: Option<u32>,
    /// Whether the link's pin was taken away, while other pins were left or all of them at once.
    unpinned: bool,
}

impl Standing {
    /// The name in the log, in the status and in metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Attached(mode) => mode.label(),
            Self::Renamed { .. } => "renamed",
            Self::Waiting { .. } => "waiting",
            Self::Occupied(_) => "occupied",
            Self::Replaced(_) => "replaced",
            Self::Refused(_) => "refused",
            Self::TakenDown => "taken_down",
        }
    }

    /// Whether knocks that come in there are seen.
    #[must_use]
    pub const fn is_attached(&self) -> bool {
        matches!(self, Self::Attached(_) | Self::Renamed { .. })
    }
}

impl Posts {
    pub(super) fn new(program: OwnedFd, number: u32, wanted: Attach, pins: Pins, held: Held) -> Self {
        Self { program, number, wanted, pins, held, posts: Vec::new() }
    }

    /// The kernel's number of the program.
    #[must_use]
    pub const fn program(&self) -> u32 {
        self.number
    }

    /// Each interface, and how it stands with it.
    pub fn standings(&self) -> impl Iterator<Item = (&str, &Standing)> {
        self.posts.iter().map(|post| (&*post.interface, &post.standing))
    }

    /// Takes the interfaces over from an earlier daemon, or for the first time; says how it stands with each.
    ///
    /// # Errors
    /// [`XdpError`] if an interface is there and does not take the program. Interfaces before it stay attached.
    pub(super) async fn begin(&mut self, interfaces: &[String], network: &Network) -> Result<Vec<PostNews>, XdpError> {
        let mut news = Vec::new();
        for interface in interfaces {
            let mut post = Post::new(interface);
            match network.interface(interface).await? {
                Some(found) => {
                    let taken = attach::take(self.program.as_fd(), interface, found, self.wanted, &self.pins, network);
                    let (link, mode) = taken.await?;
                    self.pins.pin_link(&link, interface)?;
                    post.hold = Some(Hold { link, index: found.index, mode });
                    post.standing = Standing::Attached(mode);
                }
                None => post.standing = Standing::Waiting { known: known_interfaces() },
            }
            let now = Some(post.standing.clone());
            news.push(PostNews { interface: interface.clone(), before: None, now });
            self.posts.push(post);
        }
        for interface in self.pins.forget_links_except(interfaces)? {
            news.push(PostNews { interface, before: Some(Standing::TakenDown), now: None });
        }
        self.pins.pin_program(self.program.as_fd())?;
        Ok(news)
    }

    /// Watches over these interfaces and no others; says what has changed, and what stood in the way first. All others are as
    /// they should be then, and a new one that could not be looked at is looked at again.
    pub async fn set_interfaces(
        &mut self,
        interfaces: &[String],
        network: &Network,
    ) -> (Vec<PostNews>, Option<XdpError>) {
        let (mut news, mut failed) = (Vec::new(), None);
        let (kept, dropped) =
            std::mem::take(&mut self.posts).into_iter().partition(|post| interfaces.contains(&post.interface));
        self.posts = kept;
        let dropped: Vec<Post> = dropped;
        for Post { interface, standing, hold, .. } in dropped {
            if let Some(hold) = hold {
                // Whoever else may hold the link.
                let _ = hold.link.detach();
            }
            failed = failed.or(self.pins.forget_link(&interface).err());
            news.push(PostNews { interface, before: Some(standing), now: None });
        }
        for interface in interfaces {
            if !self.posts.iter().any(|post| post.interface == *interface) {
                let mut post = Post::new(interface);
                match self.look_at(&mut post, network).await {
                    Ok(now) => post.standing = now,
                    Err(error) => failed = failed.or(Some(error)),
                }
                let now = Some(post.standing.clone());
                self.posts.push(post);
                news.push(PostNews { interface: interface.clone(), before: None, now });
            }
        }
        (news, failed)
    }

    /// Looks at every interface, and puts right what can be; says what has changed.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub async fn look(&mut self, network: &Network) -> Result<Vec<PostNews>, XdpError> {
        let mut news = Vec::new();
        let mut posts = std::mem::take(&mut self.posts);
        let mut failed = None;
        for post in &mut posts {
            let times = post.times;
            match self.look_at(post, network).await {
                Ok(now) if now.is_like(&post.standing) && post.times == times => post.standing = now,
                Ok(now) => {
                    let before = Some(std::mem::replace(&mut post.standing, now.clone()));
                    news.push(PostNews { interface: post.interface.clone(), before, now: Some(now) });
                }
                Err(error) => failed = Some(error),
            }
        }
        self.posts = posts;
        failed.map_or(Ok(news), Err)
    }

    /// Looks at the pins, and makes again what is missing for the second time: between one look and the next, a daemon that
    /// takes over may have its own way with them. Says what has changed.
    pub fn look_at_pins(&mut self) -> Option<PinNews> {
        // Whoever took the program down wants no pins either.
        if self.posts.iter().any(|post| post.standing == Standing::TakenDown) {
            return None;
        }
        let links = self.posts.iter().filter_map(|post| Some((&*post.interface, &post.hold.as_ref()?.link)));
        self.held.look(&self.pins, self.program.as_fd(), &links.collect::<Vec<_>>())
    }

    async fn look_at(&self, post: &mut Post, network: &Network) -> Result<Standing, XdpError> {
        let here = network.interface(&post.interface).await?;
        let attached = match &post.hold {
            Some(hold) => hold.link.interface().is_ok_and(|index| index == Some(hold.index)),
            None => false,
        };
        let running = post.hold.as_ref().filter(|_| attached).and_then(|hold| hold.link.program().ok());
        let sight = Sight {
            here,
            held: post.hold.as_ref().map(|hold| hold.index),
            attached,
            replaced: running.filter(|program| *program != self.number),
            unpinned: self.held.were_whole() && !self.pins.has_link(&post.interface),
        };
        let duty = match (duty(sight), &post.standing) {
            // Nobody has put it up again.
            (Duty::Attach, Standing::TakenDown)
                if post.hold.as_ref().map(|hold| hold.index) == here.map(|here| here.index) =>
            {
                Duty::Leave
            }
            (duty, _) => duty,
        };
        Ok(match duty {
            Duty::Keep => Standing::Attached(post.hold.as_ref().map_or(Mode::Native, |hold| hold.mode)),
            Duty::Follow => {
                let index = sight.held.unwrap_or_default();
                Standing::Renamed { to: network.name_of(index).await?.unwrap_or_default() }
            }
            Duty::Wait => {
                self.forget(post);
                Standing::Waiting { known: known_interfaces() }
            }
            Duty::StandBack(program) => Standing::Occupied(program),
            Duty::Replace(program) => self.replace(post, program),
            Duty::Leave => Standing::TakenDown,
            Duty::Attach => match here {
                Some(found) => self.attach(post, found),
                None => Standing::Waiting { known: known_interfaces() },
            },
        })
    }

    fn attach(&self, post: &mut Post, found: Found) -> Standing {
        let now = clock::boot();
        if let (Some(later), Standing::Refused(_)) = (post.later, &post.standing)
            && !later.is_due(now)
        {
            return post.standing.clone();
        }
        self.forget(post);
        match attach::attach_anew(self.program.as_fd(), &post.interface, found.index, self.wanted, found.occupant) {
            Ok((link, mode)) => {
                post.later = None;
                post.times = post.times.wrapping_add(1);
                // What cannot be pinned is told of with the other pins.
                let _ = self.pins.pin_link(&link, &post.interface);
                post.hold = Some(Hold { link, index: found.index, mode });
                Standing::Attached(mode)
            }
            Err(XdpError::Occupied { .. }) => Standing::Occupied(found.occupant.map_or(0, |occupant| occupant.program)),
            Err(error) => {
                post.later = Some(Retry::after(post.later, now, FIRST_PAUSE, LONGEST_PAUSE));
                Standing::Refused(error.to_string())
            }
        }
    }

    /// Puts the program back in the place of another that somebody has put into our link: whoever may do that is root, and
    /// whoever means it detaches ours first.
    fn replace(&self, post: &mut Post, program: u32) -> Standing {
        post.standing = Standing::Replaced(program);
        match &post.hold {
            Some(Hold { link, mode, .. }) if link.update(self.program.as_fd()).is_ok() => {
                post.times = post.times.wrapping_add(1);
                Standing::Attached(*mode)
            }
            Some(_) | None => Standing::Replaced(program),
        }
    }

    /// Lets go of a link that holds nothing any more, or holds the wrong interface.
    fn forget(&self, post: &mut Post) {
        if post.hold.take().is_some() {
            // A pin that stays is of a link that holds nothing: the next daemon takes it away.
            let _ = self.pins.forget_link(&post.interface);
        }
    }
}

impl Post {
    fn new(interface: &str) -> Self {
        let standing = Standing::Waiting { known: String::new() };
        Self { interface: interface.to_owned(), standing, hold: None, times: 0, later: None }
    }
}

impl Standing {
    /// Whether there is nothing new to tell.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Waiting { .. }, Self::Waiting { .. }) => true,
            (this, other) => this == other,
        }
    }
}

/// What is to be done, by what is seen.
fn duty(sight: Sight) -> Duty {
    let Sight { here, held, attached, replaced, unpinned } = sight;
    if let Some(program) = replaced {
        return Duty::Replace(program);
    }
    match here {
        None if attached => Duty::Follow,
        None => Duty::Wait,
        Some(found) if attached && held == Some(found.index) => Duty::Keep,
        Some(Found { occupant: Some(occupant), .. }) => Duty::StandBack(occupant.program),
        Some(found) if held == Some(found.index) && unpinned => Duty::Leave,
        Some(_) => Duty::Attach,
    }
}

/// Between a failure and the next attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::network::Occupant;

    const THERE: Found = Found { index: 7, occupant: None };
    const NOTHING: Sight = Sight { here: None, held: None, attached: false, replaced: None, unpinned: false };

    fn by(program: u32) -> Option<Occupant> {
        Some(Occupant { program, mode: Mode::Native })
    }

    #[test]
    fn an_interface_is_waited_for_taken_and_kept() {
        assert_eq!(duty(NOTHING), Duty::Wait);
        assert_eq!(duty(Sight { here: Some(THERE), ..NOTHING }), Duty::Attach);
        let ours = Found { occupant: by(5), ..THERE };
        let kept = Sight { here: Some(ours), held: Some(7), attached: true, ..NOTHING };
        assert_eq!(duty(kept), Duty::Keep);
        assert_eq!(duty(Sight { unpinned: true, ..kept }), Duty::Keep, "pins are another matter");
    }

    #[test]
    fn what_was_taken_away_is_put_back_unless_it_was_on_purpose() {
        let gone = Sight { here: Some(THERE), held: Some(7), ..NOTHING };
        assert_eq!(duty(gone), Duty::Attach);
        assert_eq!(duty(Sight { unpinned: true, ..gone }), Duty::Leave);
        assert_eq!(duty(Sight { here: None, ..gone }), Duty::Wait);
        let anew = Found { index: 9, ..THERE };
        assert_eq!(duty(Sight { here: Some(anew), unpinned: true, ..gone }), Duty::Attach, "another interface");
    }

    #[test]
    fn nobody_else_is_pushed_away() {
        let theirs = Some(Found { occupant: by(3), ..THERE });
        assert_eq!(duty(Sight { here: theirs, ..NOTHING }), Duty::StandBack(3));
        assert_eq!(duty(Sight { here: theirs, held: Some(7), ..NOTHING }), Duty::StandBack(3));
    }

    #[test]
    fn who_comes_by_our_own_link_is_replaced_wherever_it_is() {
        let theirs = Some(Found { occupant: by(3), ..THERE });
        let replaced = Sight { here: theirs, held: Some(7), attached: true, replaced: Some(3), unpinned: false };
        assert_eq!(duty(replaced), Duty::Replace(3));
        assert_eq!(duty(Sight { here: None, ..replaced }), Duty::Replace(3), "under another name, too");
    }

    #[test]
    fn an_interface_is_followed_under_another_name_until_one_comes_under_the_old() {
        let renamed = Sight { held: Some(7), attached: true, ..NOTHING };
        assert_eq!(duty(renamed), Duty::Follow);
        assert_eq!(duty(Sight { here: Some(Found { index: 9, occupant: None }), ..renamed }), Duty::Attach);
    }
}
