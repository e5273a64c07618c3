//! A list that only grows.

use std::sync::OnceLock;

/// Values that are added one after the other, and stay where they are: a reference to one is good
/// as long as the list. A request keeps in it what guards have returned references to.
#[derive(Debug)]
pub struct Kept<T>(OnceLock<Box<(T, Kept<T>)>>);

impl<T> Kept<T> {
    /// Adds a value at the end, and returns it.
    pub fn add(&self, value: T) -> &T {
        let (mut list, mut new) = (self, Some(value));
        loop {
            let place = list.0.get_or_init(|| {
                let value = new.take().expect("a value is added once");
                Box::new((value, Kept::default()))
            });
            if new.is_none() {
                return &place.0;
            }
            list = &place.1;
        }
    }

    /// Returns the value that was added last. `None`: there is none.
    pub fn last(&self) -> Option<&T> {
        let (mut list, mut last) = (self, None);
        while let Some(place) = list.0.get() {
            last = Some(&place.0);
            list = &place.1;
        }
        last
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(OnceLock::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_when_others_are_added() {
        let kept = Kept::default();
        assert_eq!(kept.last(), None);
        let (one, two) = (kept.add("one".to_owned()), kept.add("two".to_owned()));
        assert_eq!((one.as_str(), two.as_str()), ("one", "two"));
        assert_eq!(kept.last(), Some(two));
    }
}
