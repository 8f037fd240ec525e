//! Names, lines, types and sites of an image, on a small program compiled here.

#[path = "support/fixture.rs"]
mod fixture;

use fixture::tiny;
use trace::event::Addr;
use trace::image::{Image, ImageError, Location, Shape, TypeError};

fn image() -> Image {
    Image::open(&tiny(true)).unwrap()
}

#[test]
fn fields_are_found_through_wrappers_in_both_spellings() {
    let image = image();
    let types = image.types();
    let field = |path| types.field("task_struct", path).unwrap();
    assert_eq!(types.field("TaskStruct", "prio").unwrap(), field("prio"));
    let cpu = field("thread_info.cpu");
    assert_eq!((cpu.offset, cpu.size, cpu.shape), (8, 4, Shape::Unsigned));
    let prio = field("prio");
    assert_eq!((prio.offset, prio.size, prio.shape), (16, 4, Shape::Signed));
    let policy = field("policy");
    assert_eq!((policy.size, policy.shape), (4, Shape::Signed));
    let comm = field("comm");
    assert_eq!((comm.size, comm.shape), (16, Shape::Bytes));
    let mask = field("cpus_mask");
    assert_eq!((mask.size, mask.shape), (8, Shape::Unsigned));
    assert_eq!(field("cpus_mask.bits"), mask);
    let flags = field("thread_info.flags");
    assert_eq!(
        (flags.offset, flags.size, flags.shape),
        (0, 8, Shape::Unsigned)
    );
    assert_eq!(field("parent").shape, Shape::Pointer);
    assert_eq!(field("fn").shape, Shape::Pointer);
    assert_eq!(types.size_of("TaskStruct").unwrap(), 64);
    assert_eq!(types.constant("Policy", "Odd"), Ok(-3));
}

#[test]
fn a_missing_field_or_type_is_named() {
    let image = image();
    let error = image.types().field("task_struct", "on_cpu").unwrap_err();
    assert!(matches!(error, TypeError::NoField { .. }));
    assert!(
        error
            .to_string()
            .contains("TaskStruct has no field on_cpu (it has thread_info, prio")
    );
    let error = image.types().field("tasks_struct", "pid").unwrap_err();
    assert_eq!(error.to_string(), "the image has no type tasks_struct");
    let error = image.types().field("Taskstruct", "pid").unwrap_err();
    assert!(
        error.to_string().contains("is TaskStruct meant?"),
        "{error}"
    );
}

#[test]
fn addresses_become_names_and_lines() {
    let image = image();
    let source = include_str!("fixtures/tiny.rs");
    let line_of =
        |text: &str| 1 + source.lines().position(|line| line.contains(text)).unwrap() as u32;
    let activate = image.address_of("activate_task").unwrap();
    let symbol = image.symbol(activate, false).unwrap();
    assert_eq!((symbol.name.as_str(), symbol.offset), ("activate_task", 0));
    assert_eq!(symbol.file.as_deref(), Some("tiny.rs"));
    assert_eq!(symbol.line, Some(line_of("extern \"C\" fn activate_task")));
    let function = image.function_at(activate).unwrap();
    assert_eq!(function.decl_line, symbol.line);
    assert_eq!(function.decl_file.as_deref(), Some("tiny.rs"));
    assert_eq!(image.functions_named("helper").len(), 1);
    assert!(image.address_of("init_task").is_some());
    assert!(image.symbol(Addr(1), false).is_none());
}

#[test]
fn inlined_calls_are_seen_from_inside_and_as_entries() {
    let image = image();
    let entries = image.entries_of("task_cpu");
    assert!(!entries.is_empty(), "task_cpu is inlined");
    let symbol = image.symbol(entries[0], false).unwrap();
    let names: Vec<&str> = symbol.functions().collect();
    let at = names.iter().position(|name| *name == "task_cpu").unwrap();
    assert_eq!(names.last(), Some(&"activate_task"));
    assert!(at < names.len() - 1);
}

#[test]
fn arguments_are_where_the_abi_says() {
    let image = image();
    let function = image.functions_named("activate_task")[0];
    let names: Vec<&str> = function.arguments.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["rq", "p", "flags"]);
    assert_eq!(function.arguments[1].location, Some(Location::Register(4)));
    let all: Vec<Option<Location>> = (0..3).map(|i| function.argument(i)).collect();
    assert_eq!(all, [5, 4, 1].map(|n| Some(Location::Register(n))));
    assert_eq!(function.argument(6), None);
}

#[test]
fn tracepoint_sites_are_listed_inside_their_functions() {
    let image = image();
    let sites = image.tracepoints();
    assert!(!sites.is_empty());
    for site in sites {
        assert_eq!(site.name, "sched:sched_waking");
        assert_eq!(image.bytes_at(site.addr, 1), Some(&[0x90][..]));
        let symbol = image.symbol(site.addr, false).unwrap();
        assert_eq!(symbol.name, "activate_task");
    }
}

#[test]
fn the_file_is_identified() {
    let image = image();
    assert_eq!(image.build_id().unwrap().len(), 40);
    let bytes = std::fs::read(tiny(true)).unwrap();
    assert_eq!(image.size(), bytes.len() as u64);
}

#[test]
fn files_that_are_no_image_say_what_to_do() {
    let refuse = |name: &str, bytes: &[u8]| Image::parse(name, bytes).unwrap_err();
    let error = refuse("bzImage", b"MZ and so on");
    assert!(matches!(error, ImageError::NotElf { .. }));
    assert!(
        error.to_string().contains("bzImage is not an ELF file"),
        "{error}"
    );
    assert!(matches!(refuse("empty", b""), ImageError::NotElf { .. }));
    let error = Image::open(&tiny(false)).unwrap_err();
    assert!(matches!(error, ImageError::NoDwarf { .. }));
    assert!(
        error
            .to_string()
            .contains("build it with debug information"),
        "{error}"
    );
    let error = Image::open("/nonexistent/vmlinux".as_ref()).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/vmlinux"));
}

#[test]
fn damaged_images_are_refused_or_read_but_never_panic() {
    let good = std::fs::read(tiny(true)).unwrap();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..20 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            bytes[at] = (random >> 32) as u8;
        }
        if round % 3 == 0 {
            bytes.truncate(random as usize % good.len());
        }
        if let Ok(image) = Image::parse("damaged", &bytes) {
            let _ = image.types().field("task_struct", "thread_info.cpu");
            let _ = image.symbol(Addr(0x40_1000), true);
        }
    }
}
