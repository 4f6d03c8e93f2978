//! Who watches a user, and whom he watches: both kept in the order of addresses, so that what is about one of
//! thousands is found by a few comparisons.

use std::ops::{Deref, Range};

use super::address::Address;
use super::subscription::{Watch, Watching};

/// For how many more a list makes room that is full: there are as many lists as users, and most are short.
fn room(len: usize) -> usize {
    len / 8 + 1
}

/// Who watches a user. Each watch keeps its place for as long as it is there.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    places: slab::Slab<Watch>,
    /// All places, in the order of the watchers' addresses, and those of one watcher in that of their coming.
    order: Vec<u32>,
}

impl Watchers {
    /// One more.
    pub fn insert(&mut self, watch: Watch) {
        let Range { end, .. } = self.range_of(&watch.watcher);
        if self.places.len() == self.places.capacity() {
            self.places.reserve_exact(room(self.places.len()));
        }
        if self.order.len() == self.order.capacity() {
            self.order.reserve_exact(room(self.order.len()));
        }
        let place = self.places.insert(watch);
        self.order.insert(end, place as u32);
    }

    pub fn remove(&mut self, place: usize) {
        let Some(watch) = self.places.get(place) else { return };
        let range = self.range_of(&watch.watcher);
        let at = self.order.get(range.clone()).and_then(|his| his.iter().position(|p| *p as usize == place));
        if let Some(at) = at {
            self.order.remove(range.start + at);
        }
        self.places.remove(place);
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&mut Watch) -> bool) {
        let Watchers { places, order } = self;
        order.retain(|place| {
            let keeps = places.get_mut(*place as usize).is_some_and(&mut keep);
            if !keeps {
                places.try_remove(*place as usize);
            }
            keeps
        });
    }

    pub fn get(&self, place: usize) -> Option<&Watch> {
        self.places.get(place)
    }

    /// To change it; not who watches.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut Watch> {
        self.places.get_mut(place)
    }

    /// Those of one watcher, and their places.
    pub fn of(&self, watcher: &Address) -> impl Iterator<Item = (usize, &Watch)> {
        let his = self.order.get(self.range_of(watcher)).unwrap_or_default();
        his.iter().filter_map(|place| Some((*place as usize, self.places.get(*place as usize)?)))
    }

    /// All, and their places.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Watch)> {
        self.places.iter()
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// No place is beyond this.
    pub fn places(&self) -> usize {
        self.places.capacity()
    }

    fn range_of(&self, watcher: &Address) -> Range<usize> {
        let whose = |place: &u32| self.places.get(*place as usize).map(|watch| &watch.watcher);
        let start = self.order.partition_point(|place| whose(place) < Some(watcher));
        let his = self.order.iter().skip(start).take_while(|place| whose(place) == Some(watcher)).count();
        start..start + his
    }
}

/// Whom a user watches, in the order of addresses; what he watches of one in that of its coming.
#[derive(Debug, Default)]
pub(super) struct Watched(Vec<Watching>);

impl Watched {
    /// One more.
    pub fn insert(&mut self, watching: Watching) {
        let Range { end, .. } = self.places_of(&watching.presentity);
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(room(self.0.len()));
        }
        self.0.insert(end, watching);
    }

    /// So many more will come.
    pub fn reserve(&mut self, count: usize) {
        self.0.reserve_exact(count);
    }

    /// Those of one presentity.
    pub fn of(&self, presentity: &Address) -> &[Watching] {
        self.0.get(self.places_of(presentity)).unwrap_or_default()
    }

    /// To change them; not whom they are of.
    pub fn of_mut(&mut self, presentity: &Address) -> &mut [Watching] {
        self.at_mut(self.places_of(presentity))
    }

    /// Takes the first of a presentity that is the one looked for.
    pub fn take(&mut self, presentity: &Address, is_it: impl Fn(&Watching) -> bool) -> Option<Watching> {
        let range = self.places_of(presentity);
        let at = self.0.get(range.clone())?.iter().position(is_it)?;
        Some(self.0.remove(range.start + at))
    }

    /// Those of a presentity that are to go are gone.
    pub fn retain_of(&mut self, presentity: &Address, keep: impl Fn(&Watching) -> bool) {
        for at in self.places_of(presentity).rev() {
            if self.0.get(at).is_some_and(|watching| !keep(watching)) {
                self.0.remove(at);
            }
        }
    }

    pub fn retain(&mut self, keep: impl Fn(&Watching) -> bool) {
        self.0.retain(keep);
    }

    /// Takes all that are looked for.
    pub fn extract(&mut self, is_it: impl Fn(&Watching) -> bool) -> Vec<Watching> {
        self.0.extract_if(.., |watching| is_it(watching)).collect()
    }

    /// To change all; not whom they are of.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Watching> {
        self.0.iter_mut()
    }

    /// To change them; not whom they are of.
    pub fn at_mut(&mut self, places: Range<usize>) -> &mut [Watching] {
        self.0.get_mut(places).unwrap_or_default()
    }

    /// Where those of one presentity are, until one comes or goes.
    pub fn places_of(&self, presentity: &Address) -> Range<usize> {
        let start = self.0.partition_point(|watching| watching.presentity < *presentity);
        let his = self.0.iter().skip(start).take_while(|watching| watching.presentity == *presentity).count();
        start..start + his
    }
}

impl Deref for Watched {
    type Target = [Watching];

    fn deref(&self) -> &[Watching] {
        &self.0
    }
}

impl FromIterator<Watching> for Watched {
    fn from_iter<I: IntoIterator<Item = Watching>>(all: I) -> Watched {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by(|a, b| a.presentity.cmp(&b.presentity));
        Watched(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::subscription::Holder;
    use crate::hub::telling::Telling;

    fn address(local: &str) -> Address {
        Address::of(local, "a.test")
    }

    fn watch(watcher: &str, serial: u32) -> Watch {
        Watch {
            watcher: address(watcher),
            serial,
            named: true,
            leases: smallvec::SmallVec::new(),
            told: 0,
            telling: Telling::Quiet,
            owed: false,
            here: None,
            mapping: std::cell::Cell::default(),
        }
    }

    #[test]
    fn watchers_are_found_by_who_they_are() {
        let mut watchers = Watchers::default();
        for (watcher, serial) in [("m", 1), ("z", 2), ("a", 3), ("m", 4), ("m", 5)] {
            watchers.insert(watch(watcher, serial));
        }
        let serials = |watchers: &Watchers, who| -> Vec<u32> {
            watchers.of(&address(who)).map(|(_, watch)| watch.serial).collect()
        };
        assert_eq!((serials(&watchers, "m"), serials(&watchers, "b")), (vec![1, 4, 5], vec![]));
        let places: Vec<usize> = watchers.of(&address("m")).map(|(place, _)| place).collect();
        watchers.remove(places[1]);
        assert_eq!((serials(&watchers, "m"), watchers.len()), (vec![1, 5], 4));
        assert_eq!(watchers.get(places[2]).map(|watch| watch.serial), Some(5));
        // A place that is used again is its new watcher's.
        watchers.insert(watch("b", 6));
        assert_eq!((serials(&watchers, "b"), serials(&watchers, "m")), (vec![6], vec![1, 5]));
        watchers.retain(|watch| watch.serial % 2 == 1);
        let all = ["a", "b", "m", "z"].map(|who| serials(&watchers, who));
        assert_eq!(all, [vec![3], vec![], vec![1, 5], vec![]]);
        assert_eq!(watchers.len(), 3);
    }

    #[test]
    fn those_who_are_watched_are_found_by_who_they_are() {
        let watching = |who: &str, token: &str| Watching::asking(address(who), Holder::Client, token.into());
        let mut watched: Watched =
            [watching("m", "1"), watching("z", "2"), watching("a", "3")].into_iter().collect();
        watched.insert(watching("m", "4"));
        watched.insert(watching("m", "5"));
        let tokens = |watched: &Watched, who| -> Vec<String> {
            watched.of(&address(who)).iter().map(|watching| watching.token.to_string()).collect()
        };
        assert_eq!(
            (tokens(&watched, "m"), tokens(&watched, "b")),
            (vec!["1".into(), "4".into(), "5".into()], vec![])
        );
        let taken = watched.take(&address("m"), |watching| watching.token == "4");
        assert_eq!(
            (taken.map(|w| w.token.to_string()), tokens(&watched, "m")),
            (Some("4".into()), vec!["1".into(), "5".into()])
        );
        watched.retain_of(&address("m"), |watching| watching.token == "5");
        watched.retain_of(&address("b"), |_| false);
        let left: Vec<&str> = watched.iter().map(|watching| watching.token.as_str()).collect();
        assert_eq!(left, ["3", "5", "2"]);
    }
}
