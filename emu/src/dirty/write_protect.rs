//! The host's side of the dirty-page tracker: userfaultfd's asynchronous write-protection, in which
//! the kernel lifts the protection of a page at its first write by itself, and the PAGEMAP_SCAN
//! request, which names the pages whose protection was lifted and protects them again, in one step.
//!
//! Both take no privilege: the descriptor handles faults of user space only (UFFD_USER_MODE_ONLY),
//! and in asynchronous mode there is no fault to handle. A host without them (before Linux 6.7,
//! another system, a sandbox that forbids the calls) makes [`WriteProtect::start`] answer `None`.
//!
//! `unsafe` here, and the argument for it: five system calls on descriptors of our own, with
//! structures of the layouts below (include/uapi/linux/userfaultfd.h and fs.h) and the address range
//! of guest memory, which stays allocated for as long as the machine has a [`RamView`] of it. The
//! calls change page protections only, never a byte, and the range is registered by nobody else.

#[cfg(target_os = "linux")]
pub(super) use linux::WriteProtect;
#[cfg(not(target_os = "linux"))]
pub(super) use other::WriteProtect;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    use crate::unicorn::RamView;

    const PAGE: u64 = 4096;
    /// Regions that one request returns; more need another.
    const REGIONS: usize = 512;

    const UFFD_USER_MODE_ONLY: libc::c_int = 1;
    const UFFD_API: u64 = 0xaa;
    const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
    const FEATURE_WP_ASYNC: u64 = 1 << 15;
    const REGISTER_MODE_WP: u64 = 1 << 1;
    const PM_SCAN_WP_MATCHING: u64 = 1 << 0;
    const PM_SCAN_CHECK_WPASYNC: u64 = 1 << 1;
    const PAGE_IS_WRITTEN: u64 = 1 << 1;

    /// Number of an ioctl that reads and writes `size` bytes (`_IOWR`).
    const fn iowr(kind: u8, number: u8, size: usize) -> libc::c_ulong {
        (3 << 30 | (size as libc::c_ulong) << 16)
            | (kind as libc::c_ulong) << 8
            | number as libc::c_ulong
    }

    const UFFDIO_API: libc::c_ulong = iowr(0xaa, 0x3f, size_of::<Api>());
    const UFFDIO_REGISTER: libc::c_ulong = iowr(0xaa, 0x00, size_of::<Register>());
    const PAGEMAP_SCAN: libc::c_ulong = iowr(b'f', 16, size_of::<Scan>());

    /// `struct uffdio_api`.
    #[repr(C)]
    struct Api {
        api: u64,
        features: u64,
        ioctls: u64,
    }

    /// `struct uffdio_register`.
    #[repr(C)]
    struct Register {
        start: u64,
        len: u64,
        mode: u64,
        ioctls: u64,
    }

    /// `struct page_region`.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Region {
        start: u64,
        end: u64,
        categories: u64,
    }

    /// `struct pm_scan_arg`.
    #[repr(C)]
    struct Scan {
        size: u64,
        flags: u64,
        start: u64,
        end: u64,
        walk_end: u64,
        vec: u64,
        vec_len: u64,
        max_pages: u64,
        category_inverted: u64,
        category_mask: u64,
        category_anyof_mask: u64,
        return_mask: u64,
    }

    /// Guest memory under protection. Dropping it closes the descriptor, which lifts everything.
    pub(in crate::dirty) struct WriteProtect {
        _userfault: OwnedFd,
        pagemap: File,
        start: u64,
        end: u64,
    }

    impl WriteProtect {
        /// Registers guest memory; the first [`WriteProtect::collect`] arms it. `None` where the host
        /// cannot do it.
        pub(in crate::dirty) fn start(ram: &RamView) -> Option<Self> {
            let start = ram.base().expose_provenance() as u64;
            let end = start + ram.len();
            let flags = libc::O_CLOEXEC | UFFD_USER_MODE_ONLY;
            // SAFETY: the call takes flags only; the descriptor it returns is ours alone.
            let userfault = unsafe {
                let fd = libc::syscall(libc::SYS_userfaultfd, flags);
                if fd < 0 {
                    return None;
                }
                OwnedFd::from_raw_fd(libc::c_int::try_from(fd).ok()?)
            };
            let features = FEATURE_WP_UNPOPULATED | FEATURE_WP_ASYNC;
            let mut api = Api {
                api: UFFD_API,
                features,
                ioctls: 0,
            };
            // SAFETY: the structure is the one this request reads and writes.
            let agreed = unsafe { libc::ioctl(userfault.as_raw_fd(), UFFDIO_API, &mut api) };
            if agreed != 0 || api.features & features != features {
                return None;
            }
            let mut register = Register {
                start,
                len: end - start,
                mode: REGISTER_MODE_WP,
                ioctls: 0,
            };
            // SAFETY: as above; the range is guest memory, allocated by this process, in whole pages.
            let registered =
                unsafe { libc::ioctl(userfault.as_raw_fd(), UFFDIO_REGISTER, &mut register) };
            if registered != 0 {
                return None;
            }
            let pagemap = File::open("/proc/self/pagemap").ok()?;
            Some(Self {
                _userfault: userfault,
                pagemap,
                start,
                end,
            })
        }

        /// The pages written since the previous call, ascending, protected again. `None` if the host
        /// refuses.
        pub(in crate::dirty) fn collect(&mut self) -> Option<Vec<usize>> {
            let empty = Region {
                start: 0,
                end: 0,
                categories: 0,
            };
            let mut regions = [empty; REGIONS];
            let mut pages = Vec::new();
            let mut from = self.start;
            while from < self.end {
                let mut scan = Scan {
                    size: size_of::<Scan>() as u64,
                    flags: PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
                    start: from,
                    end: self.end,
                    walk_end: 0,
                    vec: regions.as_mut_ptr().expose_provenance() as u64,
                    vec_len: REGIONS as u64,
                    max_pages: 0,
                    category_inverted: 0,
                    category_mask: PAGE_IS_WRITTEN,
                    category_anyof_mask: 0,
                    return_mask: PAGE_IS_WRITTEN,
                };
                // SAFETY: the structure is the one this request reads and writes, and `vec` has room
                // for `vec_len` regions; the range is the registered one.
                let found =
                    unsafe { libc::ioctl(self.pagemap.as_raw_fd(), PAGEMAP_SCAN, &mut scan) };
                let found = regions.get(..usize::try_from(found).ok()?)?;
                for region in found {
                    let first = region.start.checked_sub(self.start)? / PAGE;
                    let last = region.end.checked_sub(self.start)? / PAGE;
                    pages.extend((first..last).map(|page| page as usize));
                }
                if scan.walk_end <= from {
                    return None;
                }
                from = scan.walk_end;
            }
            Some(pages)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use crate::unicorn::RamView;

    /// What this system does not have.
    pub(in crate::dirty) enum WriteProtect {}

    impl WriteProtect {
        pub(in crate::dirty) fn start(_ram: &RamView) -> Option<Self> {
            None
        }

        pub(in crate::dirty) fn collect(&mut self) -> Option<Vec<usize>> {
            match *self {}
        }
    }
}
