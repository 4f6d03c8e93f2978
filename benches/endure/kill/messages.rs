//! Messages that are kept for those who are away, and reports to those who have gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth::client::blocking::Client;
use hearth::client::{Error, Status};
use hearth::sim::chance::Chance;

use super::contacts::resident;
use super::worker::{LONG, Tally, Trouble, Worker, wrong};
use crate::home::{Home, Resident};
use crate::line::{self, Anew, Heard, Line};
use crate::rig::house::Service;

/// Messages kept before the reader comes, at most.
const KEPT: u64 = 24;
/// Messages under way when their sender goes, at most.
const UNDER_WAY: u64 = 6;
/// Between two looks.
const SHORT: Duration = Duration::from_millis(2);

/// One user's end of the line, and who can tell whether he is there.
struct End {
    home: Arc<Home>,
    local: String,
    service: Service,
    observer: Anew<Client>,
}

impl End {
    fn new(home: &Arc<Home>, local: &str, service: Service) -> End {
        let observer = Anew::new(home, &format!("{local}observer"), line::simp);
        End { home: Arc::clone(home), local: local.to_owned(), service, observer }
    }

    fn login(&self) -> Result<Line, Error> {
        Line::login(&self.home, &self.local, self.service)
    }

    fn address(&self) -> String {
        self.home.address(&self.local)
    }

    /// How much waits for him.
    fn waiting(&self) -> Result<u32, Trouble> {
        Ok(self.home.kept(&self.local)?.waiting)
    }

    fn is_away(&mut self) -> Result<bool, Trouble> {
        let address = self.address();
        Ok(self.observer.get()?.fetch(&address)?.status == Status::Offline)
    }

    fn residents(&self, keeps: bool) -> Vec<(Arc<Home>, Resident)> {
        let own = Resident { local: self.local.clone(), keeps };
        vec![(Arc::clone(&self.home), own), resident(&self.observer)]
    }

    /// After his connection was closed, without a load to watch.
    fn leave(&mut self) -> Result<(), Trouble> {
        let deadline = Instant::now() + LONG;
        while !self.is_away()? {
            if Instant::now() > deadline {
                return wrong(format!("{} is still there", self.address()));
            }
        }
        Ok(())
    }
}

/// What is known of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Under way when the server fell.
    Doubtful,
    /// Acknowledged: it must come.
    Kept,
    /// It has come and was taken; whether that is on the disk is not known yet.
    Taken,
}

/// Messages to one who is away; when there are enough of them, he comes and takes them.
pub struct Keeping {
    sender: End,
    line: Option<(u64, Line)>,
    reader: End,
    chance: Chance,
    count: u64,
    target: usize,
    fates: BTreeMap<String, Fate>,
    given_again: u64,
}

impl Keeping {
    /// From somebody at the first place to somebody at the second.
    pub fn new(
        (home, service): (&Arc<Home>, Service),
        (other, reads): (&Arc<Home>, Service),
        chance: Chance,
    ) -> Keeping {
        let far = if Arc::ptr_eq(home, other) { "" } else { "far" };
        let mark = format!("{}{far}", service.name());
        Keeping {
            sender: End::new(home, &format!("writer{mark}"), service),
            line: None,
            reader: End::new(other, &format!("reader{mark}"), reads),
            chance,
            count: 0,
            target: 1,
            fates: BTreeMap::new(),
            given_again: 0,
        }
    }

    fn line(&mut self) -> Result<&mut Line, Error> {
        let starts = self.sender.home.starts();
        if self.line.as_ref().is_none_or(|(start, _)| *start != starts) {
            self.line = Some((starts, self.sender.login()?));
        }
        self.line.as_mut().map(|(_, line)| line).ok_or(Error::Ended)
    }

    fn send(&mut self, tally: &Tally) -> Result<(), Trouble> {
        self.count += 1;
        let length = self.chance.below(1500);
        let (to, text) = (self.reader.address(), format!("message {} {}", self.count, "x".repeat(length)));
        self.fates.insert(text.clone(), Fate::Doubtful);
        if self.line()?.send(&to, &text)? && Arc::ptr_eq(&self.sender.home, &self.reader.home) {
            return wrong("a message was delivered to somebody who is not there");
        }
        self.fates.insert(text, Fate::Kept);
        tally.acknowledge();
        Ok(())
    }

    fn left(&self) -> usize {
        self.fates.values().filter(|fate| **fate == Fate::Kept).count()
    }

    /// Takes one message. `seen`: those of this session.
    fn take(&mut self, line: &mut Line, heard: Heard, seen: &mut Vec<String>) -> Result<(), Trouble> {
        let Some(fate) = self.fates.get_mut(&heard.text) else {
            return wrong(format!("{:.60} comes again, or never was", heard.text));
        };
        if heard.from != self.sender.address() || seen.contains(&heard.text) {
            return wrong(format!(
                "{:.60} from {} comes twice, or in another's name",
                heard.text, heard.from
            ));
        }
        self.given_again += u64::from(*fate == Fate::Taken);
        *fate = Fate::Taken;
        seen.push(heard.text.clone());
        line.okay(heard)?;
        Ok(())
    }

    /// All that must come, comes.
    fn take_all(&mut self, line: &mut Line, seen: &mut Vec<String>) -> Result<(), Trouble> {
        while self.left() > 0 {
            match line.hear(LONG)? {
                Some(heard) => self.take(line, heard, seen)?,
                None => return wrong(format!("{} kept messages never came", self.left())),
            }
        }
        Ok(())
    }

    /// The reader comes, takes everything, and goes.
    fn drain(&mut self, tally: &Tally) -> Result<(), Trouble> {
        let (mut line, mut seen) = (self.reader.login()?, Vec::new());
        self.take_all(&mut line, &mut seen)?;
        tally.until("what was taken is forgotten", || Ok(self.reader.waiting()? == 0))?;
        self.fates.clear();
        tally.acknowledge();
        line.close()?;
        tally.until("he is away", || self.reader.is_away())
    }
}

impl Worker for Keeping {
    fn name(&self) -> String {
        format!("messages kept for {}", self.reader.address())
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        [self.sender.residents(false), self.reader.residents(true)].concat()
    }

    fn work(&mut self, tally: &Tally) -> Result<(), Trouble> {
        if self.left() < self.target {
            return self.send(tally);
        }
        self.target = self.chance.between(1, KEPT) as usize;
        self.drain(tally)
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        let (mut line, mut seen) = (self.reader.login()?, Vec::new());
        self.take_all(&mut line, &mut seen)?;
        let deadline = Instant::now() + LONG;
        while self.reader.waiting()? > 0 {
            if let Some(heard) = line.hear(SHORT)? {
                self.take(&mut line, heard, &mut seen)?;
            }
            if Instant::now() > deadline {
                return wrong("what waits is not given");
            }
        }
        self.fates.clear();
        line.close()?;
        self.reader.leave()
    }

    fn given_again(&self) -> u64 {
        self.given_again
    }
}

/// Senders who leave before their messages are refused: each refusal must be told once at the next login.
pub struct Reporting {
    sender: End,
    recipient: End,
    line: Option<(u64, Line)>,
    chance: Chance,
    count: u64,
    /// Reports that must come.
    owed: u64,
    /// And so many more may.
    maybe: u64,
    /// Not answered, by a sender who had gone for sure: if the recipient's server falls, they have failed. With the
    /// start of the sender's server, which alone knows of them.
    hanging: Option<(u64, u64)>,
    unanswered: Vec<Heard>,
}

impl Reporting {
    /// From somebody at the first place to somebody at the second.
    pub fn new(
        (home, service): (&Arc<Home>, Service),
        (other, reads): (&Arc<Home>, Service),
        chance: Chance,
    ) -> Reporting {
        let far = if Arc::ptr_eq(home, other) { "" } else { "far" };
        let mark = format!("{}{far}", service.name());
        Reporting {
            sender: End::new(home, &format!("goer{mark}"), service),
            recipient: End::new(other, &format!("silent{mark}"), reads),
            line: None,
            chance,
            count: 0,
            owed: 0,
            maybe: 0,
            hanging: None,
            unanswered: Vec::new(),
        }
    }

    fn recipient(&mut self) -> Result<&mut Line, Error> {
        let starts = self.recipient.home.starts();
        if self.line.as_ref().is_none_or(|(start, _)| *start != starts) {
            self.line = Some((starts, self.recipient.login()?));
        }
        self.line.as_mut().map(|(_, line)| line).ok_or(Error::Ended)
    }

    /// Takes one report.
    fn take(&mut self, line: &mut Line, heard: Heard) -> Result<(), Trouble> {
        let notifier = self.sender.home.address("notifier");
        if heard.from != notifier || !heard.text.contains(&self.recipient.address()) {
            return wrong(format!("instead of a report {:?} from {}", heard.text, heard.from));
        }
        if self.owed > 0 {
            // Until it is on the disk that it was taken it may come again.
            (self.owed, self.maybe) = (self.owed - 1, self.maybe + 1);
        }
        line.okay(heard)?;
        Ok(())
    }

    /// All reports that must come, come. How many came.
    fn take_all(&mut self, line: &mut Line) -> Result<u64, Trouble> {
        let mut count = 0;
        while self.owed > 0 {
            match line.hear(LONG)? {
                Some(heard) => self.take(line, heard)?,
                None => return wrong(format!("{} reports never came", self.owed)),
            }
            count += 1;
        }
        Ok(count)
    }

    /// The sender comes for his reports, writes again, and is gone before there is an answer.
    fn write_and_go(&mut self, tally: &Tally) -> Result<u64, Trouble> {
        let mut line = self.sender.login()?;
        self.take_all(&mut line)?;
        tally.until("reports that were taken are forgotten", || Ok(self.sender.waiting()? == 0))?;
        self.maybe = 0;
        self.recipient()?;
        let several = self.chance.between(1, UNDER_WAY);
        self.maybe = several;
        let to = self.recipient.address();
        self.count += 1;
        let count = self.count;
        let mut sent = Vec::new();
        for number in 0..several {
            sent.push(line.start(&to, &format!("{count} {number}"))?);
        }
        for number in 0..several {
            let recipient = self.recipient()?;
            match tally.wait_for(|moment| recipient.hear(moment))? {
                Some(heard) if heard.text == format!("{count} {number}") => self.unanswered.push(heard),
                other => {
                    let came = other.map(|heard| heard.text);
                    let outcomes: Vec<_> = sent.iter().map(|sent| line.outcome(*sent, SHORT)).collect();
                    return wrong(format!("{count} {number} did not come, but {came:?}: {outcomes:?}"));
                }
            }
        }
        drop(line);
        tally.until("he is away", || self.sender.is_away())?;
        Ok(several)
    }
}

impl Worker for Reporting {
    fn name(&self) -> String {
        format!("reports for {} about {}", self.sender.address(), self.recipient.address())
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        [self.sender.residents(false), self.recipient.residents(false)].concat()
    }

    fn work(&mut self, tally: &Tally) -> Result<(), Trouble> {
        let several = self.write_and_go(tally)?;
        // Some are taken after all, and the rest refused.
        let refused = self.chance.between(1, several);
        self.hanging = Some((refused, self.sender.home.starts()));
        for (number, heard) in (0..).zip(std::mem::take(&mut self.unanswered)) {
            let line = self.recipient()?;
            if number < several - refused { line.okay(heard)? } else { line.refuse(heard)? }
        }
        tally.until("all failures are written down", || Ok(u64::from(self.sender.waiting()?) == refused))?;
        (self.owed, self.maybe, self.hanging) = (refused, 0, None);
        tally.acknowledge();
        Ok(())
    }

    fn rest(&mut self) {
        self.unanswered.clear();
        self.line = None;
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        if let Some((failed, start)) = self.hanging.take()
            && start == self.sender.home.starts()
        {
            // The recipient is gone, with his server or by himself: what he had not okayed has failed.
            (self.owed, self.maybe) = (failed, self.maybe - failed);
        }
        let mut line = self.sender.login()?;
        let mut came = self.take_all(&mut line)?;
        let most = self.maybe;
        let deadline = Instant::now() + LONG;
        while self.sender.waiting()? > 0 {
            if let Some(heard) = line.hear(SHORT)? {
                self.take(&mut line, heard)?;
                came += 1;
            }
            if Instant::now() > deadline {
                return wrong("reports that wait are not given");
            }
        }
        if came > most {
            return wrong(format!("{came} reports, and at most {most} messages have failed"));
        }
        self.maybe = 0;
        line.close()?;
        self.sender.leave()
    }
}
