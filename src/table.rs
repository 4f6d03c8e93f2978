//! A hash table whose growth is never felt: for what there is as much of as there are users.
//!
//! A table that is full moves all its entries to one of twice the size, and nobody is served meanwhile: with a
//! million users that takes a tenth of a second. This one is many small tables, each with its share of the keys, as
//! soon as it has more than a few: each moves by itself, a thousand times quicker, and since chance does not fill them
//! evenly seldom two at a time.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::mem;

use foldhash::fast::FixedState;

/// Small tables for what there is as much of as there are users. With a million keys each has a thousand.
const PARTS: usize = 1024;
/// As many keys are in one: to move these is not felt.
const FEW: usize = 512;

/// See the module. `P`: of so many small tables, a power of two.
#[derive(Debug)]
pub struct Table<K, V, const P: usize = PARTS> {
    /// One, or all.
    parts: Box<[HashMap<K, V, FixedState>]>,
    hasher: FixedState,
}

impl<K: Hash + Eq, V, const P: usize> Default for Table<K, V, P> {
    /// With a seed of the operating system's.
    fn default() -> Self {
        Table::new(RandomState::new().hash_one(0))
    }
}

impl<K: Hash + Eq, V, const P: usize> Table<K, V, P> {
    /// An empty one. Who does not know the seed can't choose keys that collide.
    pub fn new(seed: u64) -> Table<K, V, P> {
        // Another hash within a part than among parts: there all keys are alike in some bits.
        let within = FixedState::with_seed(seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15);
        Table { parts: Box::new([HashMap::with_hasher(within)]), hasher: FixedState::with_seed(seed) }
    }

    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        if self.parts.len() == 1 {
            return 0;
        }
        // The upper bits: foldhash mixes those best.
        (self.hasher.hash_one(key) >> (u64::BITS - P.trailing_zeros())) as usize
    }

    /// One table becomes many.
    fn split(&mut self) {
        let Some(few) = self.parts.first_mut() else { return };
        let within = few.hasher().clone();
        let few = mem::take(few);
        self.parts = (0..P).map(|_| HashMap::with_hasher(within.clone())).collect();
        for (key, value) in few {
            self.insert(key, value);
        }
    }

    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> Option<&HashMap<K, V, FixedState>> {
        self.parts.get(self.place(key))
    }

    /// The small table that a key is in, or would be: to be kept within bounds by itself. Always some.
    pub fn part_mut<Q: Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut HashMap<K, V, FixedState>> {
        if let [few] = &*self.parts
            && few.len() >= FEW
        {
            self.split();
        }
        let place = self.place(key);
        self.parts.get_mut(place)
    }

    /// How many entries there are; goes through all parts.
    pub fn len(&self) -> usize {
        self.parts.iter().map(HashMap::len).sum()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(HashMap::is_empty)
    }

    /// Drops the entries that are not to stay, and the room that they leave.
    pub fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        for part in &mut self.parts {
            part.retain(|_, value| keep(value));
            part.shrink_to(2 * part.len());
        }
    }

    /// All values: a census, whose order is nobody's business.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(HashMap::values)
    }

    /// As [`HashMap::get`].
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.part(key)?.get(key)
    }

    /// As [`HashMap::get_key_value`].
    pub fn get_key_value<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.part(key)?.get_key_value(key)
    }

    /// As [`HashMap::get_mut`].
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.part_mut(key)?.get_mut(key)
    }

    /// As [`HashMap::insert`].
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.part_mut(&key)?.insert(key, value)
    }

    /// As [`HashMap::remove`].
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.part_mut(key)?.remove(key)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map() {
        let mut table: Table<String, usize> = Table::new(7);
        for number in 0..5000 {
            assert_eq!(table.insert(number.to_string(), number), None);
        }
        assert_eq!(table.insert("17".to_owned(), 18), Some(17));
        assert_eq!(table.get("17"), Some(&18));
        assert_eq!(table.get_key_value("4999"), Some((&"4999".to_owned(), &4999)));
        *table.get_mut("0").unwrap() += 1;
        assert_eq!(table.remove("0"), Some(1));
        assert_eq!(table.remove("0"), None);
        assert_eq!(table.get("5000"), None);
    }

    #[test]
    fn few_are_in_one_and_what_is_dropped_leaves_no_room_behind() {
        // design 3: who comes and goes leaves nothing
        let mut table: Table<usize, usize> = Table::new(7);
        for number in 0..100_000 {
            table.insert(number, number);
            if number >= 10 {
                assert_eq!(table.remove(&(number - 10)), Some(number - 10));
            }
        }
        assert_eq!(table.parts.len(), 1);
        assert!(table.parts[0].capacity() < 100);
        for number in 0..100_000 {
            table.insert(number, number);
        }
        assert_eq!((table.parts.len(), table.len()), (PARTS, 100_000));
        table.retain(|value| value.is_multiple_of(1000));
        assert_eq!(table.len(), 100);
        let room: usize = table.parts.iter().map(HashMap::capacity).sum();
        assert!(room < 1000, "{room}");
        assert!((0..100).all(|number| table.get(&(number * 1000)) == Some(&(number * 1000))));
    }

    #[test]
    fn no_part_has_much_more_than_its_share() {
        // design 3: nothing that one input does takes longer for those who are there already
        let mut table: Table<String, ()> = Table::new(7);
        for number in 0..100 * PARTS {
            table.insert(format!("user{number}@example.org"), ());
        }
        let most = table.parts.iter().map(HashMap::len).max().unwrap();
        assert!(most < 160, "{most}");
        assert_eq!(table.len(), 100 * PARTS);
    }
}
