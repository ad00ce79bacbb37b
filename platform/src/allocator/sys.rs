//! The calls that need `unsafe`: an allocator hands out pointers.

#![expect(unsafe_code, reason = "allocators have no safe form")]

use std::alloc::{GlobalAlloc, Layout};

use super::ZeroizingAllocator;

// SAFETY: every block comes from the allocator beneath and goes back to it with
// the layout that it was made with. Nothing here allocates or unwinds.
//
// `realloc` is left to the trait: a new block, a copy, and `dealloc` of the old
// one. The system's own could move a block and leave its contents behind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for ZeroizingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that are asked for here.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up a block of this size, so it may be
        // written to, and nobody else looks at it. The slice is of bytes that
        // were just written.
        unsafe {
            block.write_bytes(0, layout.size());
            // A write to what is about to be freed may be left out by the
            // compiler; not one that somebody looks at.
            zeroize::optimization_barrier(std::slice::from_raw_parts(block, layout.size()));
        }
        // SAFETY: as above.
        unsafe { self.0.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Looks at each block that it takes back.
    #[derive(Default)]
    struct Watching {
        clean: AtomicUsize,
        dirty: AtomicUsize,
    }

    // SAFETY: everything is left to the system's allocator.
    unsafe impl GlobalAlloc for &Watching {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promises.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: all of the block was written by the tests.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            let counter = match bytes.iter().all(|byte| *byte == 0) {
                true => &self.clean,
                false => &self.dirty,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller's promises.
            unsafe { System.dealloc(block, layout) }
        }
    }

    impl Watching {
        /// How many blocks came back, wiped and not.
        fn seen(&self) -> (usize, usize) {
            let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
            (read(&self.clean), read(&self.dirty))
        }
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 16).expect("a layout")
    }

    #[test]
    fn a_block_that_is_freed_is_wiped() {
        let watching = Watching::default();
        let allocator = ZeroizingAllocator::above(&watching);
        for size in [1, 15, 64, 5000, 1 << 20] {
            // SAFETY: the block is written within its size and freed once.
            unsafe {
                let block = allocator.alloc(layout(size));
                block.write_bytes(0x5a, size);
                allocator.dealloc(block, layout(size));
            }
        }
        assert_eq!(watching.seen(), (5, 0));
    }

    #[test]
    fn a_block_that_grows_or_shrinks_keeps_its_contents_and_leaves_nothing_behind() {
        let watching = Watching::default();
        let allocator = ZeroizingAllocator::above(&watching);
        // SAFETY: each block is used within its size and freed once.
        unsafe {
            let block = allocator.alloc(layout(64));
            block.write_bytes(0x5a, 64);
            let larger = allocator.realloc(block, layout(64), 4096);
            assert_eq!(std::slice::from_raw_parts(larger, 64), [0x5a; 64]);
            larger.write_bytes(0x5a, 4096);
            let smaller = allocator.realloc(larger, layout(4096), 32);
            assert_eq!(std::slice::from_raw_parts(smaller, 32), [0x5a; 32]);
            allocator.dealloc(smaller, layout(32));
        }
        assert_eq!(watching.seen(), (3, 0));
    }

    #[test]
    fn without_it_a_block_comes_back_as_it_was() {
        let watching = Watching::default();
        let allocator = &watching;
        // SAFETY: the block is written within its size and freed once.
        unsafe {
            let block = allocator.alloc(layout(64));
            block.write_bytes(0x5a, 64);
            allocator.dealloc(block, layout(64));
        }
        assert_eq!(watching.seen(), (0, 1));
    }
}
