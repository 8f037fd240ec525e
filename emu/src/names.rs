//! What people call the ports, model-specific registers and instructions that a PC's kernel tries: for
//! reports of what a guest asked for and this machine does not have.

/// Who has a port on a PC (the classic map of the PC/AT and of Intel's chip sets).
pub fn port_name(port: u16) -> Option<&'static str> {
    Some(match port {
        0x00..=0x0f => "DMA controller 1",
        0x20 | 0x21 => "interrupt controller 1 (8259A)",
        0x2e | 0x2f | 0x4e | 0x4f => "Super I/O",
        0x40..=0x43 => "timer (8254)",
        0x60 | 0x64 => "keyboard controller (8042)",
        0x61 => "NMI status and speaker",
        0x81..=0x8f => "DMA page registers",
        0x92 => "system control port A",
        0xa0 | 0xa1 => "interrupt controller 2 (8259A)",
        0xb2 | 0xb3 => "system management interrupt",
        0xc0..=0xdf => "DMA controller 2",
        0xf0..=0xff => "coprocessor",
        0x1f0..=0x1f7 | 0x3f6 => "disk, primary channel",
        0x170..=0x177 | 0x376 => "disk, secondary channel",
        0x278..=0x27a | 0x378..=0x37a => "parallel port",
        0x2e8..=0x2ef => "COM4",
        0x2f8..=0x2ff => "COM2",
        0x3e8..=0x3ef => "COM3",
        0x3f8..=0x3ff => "COM1, not by bytes",
        0x3b0..=0x3df => "VGA",
        0x3f0..=0x3f5 | 0x3f7 => "floppy disk",
        0x4d0 | 0x4d1 => "interrupt controllers, edge or level",
        0x510 | 0x511 => "firmware configuration of QEMU",
        0x5658 | 0x5659 => "VMware backdoor",
        0xcf8..=0xcfb => "PCI configuration address",
        0xcfc..=0xcff => "PCI configuration data",
        _ => return None,
    })
}

/// The SDM's name of a model-specific register (volume 4), or AMD's where it has one.
pub fn msr_name(number: u32) -> Option<&'static str> {
    Some(match number {
        0x10 => "IA32_TIME_STAMP_COUNTER",
        0x17 => "IA32_PLATFORM_ID",
        0x1b => "IA32_APIC_BASE",
        0x33 => "MSR_TEST_CTRL",
        0x34 => "MSR_SMI_COUNT",
        0x3a => "IA32_FEATURE_CONTROL",
        0x3b => "IA32_TSC_ADJUST",
        0x48 => "IA32_SPEC_CTRL",
        0x49 => "IA32_PRED_CMD",
        0x79 => "IA32_BIOS_UPDT_TRIG",
        0x8b => "IA32_BIOS_SIGN_ID",
        0xcd => "MSR_FSB_FREQ",
        0xce => "MSR_PLATFORM_INFO",
        0xe7 => "IA32_MPERF",
        0xe8 => "IA32_APERF",
        0xfe => "IA32_MTRRCAP",
        0x10a => "IA32_ARCH_CAPABILITIES",
        0x10b => "IA32_FLUSH_CMD",
        0x122 => "IA32_TSX_CTRL",
        0x140 => "MISC_FEATURE_ENABLES",
        0x179 => "IA32_MCG_CAP",
        0x17a => "IA32_MCG_STATUS",
        0x186..=0x189 => "IA32_PERFEVTSEL",
        0x198 => "IA32_PERF_STATUS",
        0x199 => "IA32_PERF_CTL",
        0x19a => "IA32_CLOCK_MODULATION",
        0x19b => "IA32_THERM_INTERRUPT",
        0x19c => "IA32_THERM_STATUS",
        0x1a0 => "IA32_MISC_ENABLE",
        0x1a2 => "MSR_TEMPERATURE_TARGET",
        0x1ad => "MSR_TURBO_RATIO_LIMIT",
        0x1b0 => "IA32_ENERGY_PERF_BIAS",
        0x1b1 => "IA32_PACKAGE_THERM_STATUS",
        0x1d9 => "IA32_DEBUGCTL",
        0x1fc => "MSR_POWER_CTL",
        0x200..=0x20f => "IA32_MTRR_PHYS",
        0x250 | 0x258 | 0x259 | 0x268..=0x26f => "IA32_MTRR_FIX",
        0x277 => "IA32_PAT",
        0x2ff => "IA32_MTRR_DEF_TYPE",
        0x309..=0x30b => "IA32_FIXED_CTR",
        0x345 => "IA32_PERF_CAPABILITIES",
        0x38d => "IA32_FIXED_CTR_CTRL",
        0x38f => "IA32_PERF_GLOBAL_CTRL",
        0x400..=0x47f => "IA32_MC",
        0x480..=0x492 => "IA32_VMX",
        0x606 => "MSR_RAPL_POWER_UNIT",
        0x611 => "MSR_PKG_ENERGY_STATUS",
        0x6e0 => "IA32_TSC_DEADLINE",
        0x770 => "IA32_PM_ENABLE",
        0x800..=0x8ff => "x2APIC",
        0xda0 => "IA32_XSS",
        0xc001_0015 => "HWCR (AMD)",
        0xc001_001f => "NB_CFG (AMD)",
        0xc001_1029 => "DE_CFG (AMD)",
        0xc000_0080 => "IA32_EFER",
        0xc000_0104 => "TSC_RATIO (AMD)",
        _ => return None,
    })
}

/// What an instruction is called that this machine refuses, from its bytes: its mnemonic if it is one
/// that kernels and libraries try, else its opcode (SDM vol. 2, appendix A).
pub(crate) fn instruction_name(long_mode: bool, bytes: &[u8]) -> String {
    let is_prefix = |b: &u8| {
        let legacy = matches!(
            b,
            0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3 | 0x2e | 0x36 | 0x3e | 0x26
        );
        legacy || matches!(b, 0x64 | 0x65) || long_mode && (0x40..0x50).contains(b)
    };
    let prefixes = bytes.iter().take_while(|b| is_prefix(b)).count();
    let has = |prefix: u8| bytes[..prefixes].contains(&prefix);
    let at = |n: usize| bytes.get(prefixes + n).copied().unwrap_or(0);
    let (opcode, third) = (at(1), at(2));
    let (register, group) = (third >= 0xc0, third >> 3 & 7);
    let name = match (at(0), opcode) {
        (0xc4 | 0xc5, _) => "AVX (VEX prefix)",
        (0x62, _) => "AVX-512 (EVEX prefix)",
        (0x8f, _) => "XOP",
        (0x0f, 0x01) => match third {
            0xc1 => "vmcall",
            0xc8 => "monitor",
            0xc9 => "mwait",
            0xca => "clac",
            0xcb => "stac",
            0xcf => "encls",
            0xd0 => "xgetbv",
            0xd1 => "xsetbv",
            0xd4 => "vmfunc",
            0xd5 => "xend",
            0xd6 => "xtest",
            0xd7 => "enclu",
            0xd9 => "vmmcall",
            0xee => "rdpkru",
            0xef => "wrpkru",
            _ => "opcode 0f 01",
        },
        (0x0f, 0x0d) => "prefetchw",
        (0x0f, 0xae) => match (has(0xf3), register, group) {
            (true, true, 0) => "rdfsbase",
            (true, true, 1) => "rdgsbase",
            (true, true, 2) => "wrfsbase",
            (true, true, 3) => "wrgsbase",
            (_, false, 4) => "xsave",
            (_, false, 5) => "xrstor",
            (_, false, 6) => "xsaveopt",
            (_, false, 7) => "clflush",
            _ => "opcode 0f ae",
        },
        (0x0f, 0xb8) if has(0xf3) => "popcnt",
        (0x0f, 0xc7) => match (register, group) {
            (true, 6) => "rdrand",
            (true, 7) => "rdseed",
            (false, 3) => "xrstors",
            (false, 4) => "xsavec",
            (false, 5) => "xsaves",
            _ => "opcode 0f c7",
        },
        (0x0f, 0x38) => match third {
            0x80 => "invept",
            0x81 => "invvpid",
            0x82 => "invpcid",
            0xc8..=0xcd => "SHA",
            0xdb..=0xdf => "AES",
            0xf0 | 0xf1 if has(0xf2) => "crc32",
            0xf0 | 0xf1 => "movbe",
            0xf6 => "adcx, adox",
            _ => return format!("opcode 0f 38 {third:02x}"),
        },
        (0x0f, 0x3a) => return format!("opcode 0f 3a {third:02x}"),
        (0x0f, second) => return format!("opcode 0f {second:02x}"),
        (first, _) => return format!("opcode {first:02x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_asks_for_at_boot_has_a_name() {
        assert_eq!(port_name(0xcf8), Some("PCI configuration address"));
        assert_eq!(port_name(0x61), Some("NMI status and speaker"));
        assert_eq!(port_name(0x1234), None);
        let asked = [58, 320, 3_221_295_145].map(|n| msr_name(n).is_some());
        assert_eq!(asked, [true; 3]);
        assert_eq!(msr_name(0x1234), None);
    }

    #[test]
    fn instructions_that_are_tried_have_a_name() {
        let name = |bytes: &[u8]| instruction_name(true, bytes);
        assert_eq!(name(&[0x0f, 0x01, 0xd0]), "xgetbv");
        assert_eq!(name(&[0xc5, 0xfc, 0x58, 0xc0]), "AVX (VEX prefix)");
        assert_eq!(name(&[0x48, 0x0f, 0xc7, 0xf0]), "rdrand");
        assert_eq!(name(&[0xf3, 0x48, 0x0f, 0xae, 0xc0]), "rdfsbase");
        assert_eq!(name(&[0x48, 0x0f, 0xae, 0x27]), "xsave");
        assert_eq!(name(&[0xf2, 0x0f, 0x38, 0xf1, 0xc0]), "crc32");
        assert_eq!(name(&[0x06]), "opcode 06");
        assert_eq!(name(&[]), "opcode 00");
    }
}
