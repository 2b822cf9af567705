//! First in, first out, for small things that come and go with every message.

/// A queue of copies in a power of two of places, so that a place is found by masking. What the standard library's
/// queue would do besides, such as dropping what is left, these things do not need.
#[derive(Clone, Debug)]
pub(crate) struct Ring<T> {
    /// A power of two of them, or none yet.
    places: Vec<T>,
    start: usize,
    len: usize,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Ring { places: Vec::new(), start: 0, len: 0 }
    }
}

impl<T: Copy> Ring<T> {
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline(always)]
    fn place(&self, index: usize) -> usize {
        self.start.wrapping_add(index) & self.places.len().wrapping_sub(1)
    }

    #[inline(always)]
    pub fn push_back(&mut self, item: T) {
        if self.len == self.places.len() {
            self.grow(item);
        }
        let place = self.place(self.len);
        self.places[place] = item;
        self.len += 1;
    }

    /// Doubles the places. Those that are not in use hold something, no matter what.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, filling: T) {
        self.places.rotate_left(self.start);
        self.start = 0;
        self.places.resize((self.places.len() * 2).max(8), filling);
    }

    #[inline(always)]
    pub fn pop_front(&mut self) -> Option<T> {
        let front = self.front().copied()?;
        self.drop_front(1);
        Some(front)
    }

    /// Forgets this many at the front.
    #[inline(always)]
    pub fn drop_front(&mut self, count: usize) {
        self.start = self.place(count);
        self.len -= count;
    }

    #[inline(always)]
    pub fn front(&self) -> Option<&T> {
        if self.len == 0 { None } else { self.places.get(self.start) }
    }

    #[inline(always)]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let place = self.place(index);
        if index < self.len { self.places.get_mut(place) } else { None }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len).map(|index| &self.places[self.place(index)])
    }

    /// Lets each of them be changed.
    pub fn for_each_mut(&mut self, mut change: impl FnMut(&mut T)) {
        for index in 0..self.len {
            let place = self.place(index);
            change(&mut self.places[place]);
        }
    }

    /// Forgets all but this many at the front.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub fn clear(&mut self) {
        self.truncate(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn it_does_what_the_standard_librarys_queue_does() {
        let (mut ring, mut queue) = (Ring::default(), VecDeque::new());
        for step in 0_usize..2_000 {
            for number in 0..step % 7 {
                ring.push_back((step, number));
                queue.push_back((step, number));
            }
            for _ in 0..step % 5 {
                assert_eq!(ring.pop_front(), queue.pop_front());
            }
            if step % 13 == 0 && queue.len() > 4 {
                ring.drop_front(3);
                queue.drain(..3);
                ring.get_mut(1).expect("there are more").1 = 99;
                queue[1].1 = 99;
            }
            if step % 401 == 0 {
                ring.truncate(5);
                queue.truncate(5);
            }
            ring.for_each_mut(|item| item.0 += 1);
            queue.iter_mut().for_each(|item| item.0 += 1);
            assert_eq!((ring.len(), ring.is_empty(), ring.front()), (queue.len(), queue.is_empty(), queue.front()));
            assert!(ring.iter().eq(&queue) && ring.get_mut(queue.len()).is_none());
        }
        ring.clear();
        assert_eq!(ring.pop_front(), None);
    }
}
