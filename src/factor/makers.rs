//! The makers of passkeys, for a name that people recognize.
//!
//! The number of a make (AAGUID) proves nothing, and many authenticators leave it zero. It is for the
//! name alone.

/// The makes that most people have, as facts from the list of the FIDO Alliance's members
/// (`passkey-authenticator-aaguids`, 2026-09).
const MAKERS: [(u128, &str); 20] = [
    (0xfbfc3007_154e_4ecc_8c0b_6e020557d7bd, "Apple Passwords"),
    (0xdd4ec289_e01d_41c9_bb89_70fa845d4bf2, "Apple Passwords"),
    (0xea9b8d66_4d01_1d21_3ce4_b6b48cb575d4, "Google Password Manager"),
    (0xadce0002_35bc_c60a_648b_0b25f1f05503, "Chrome on Mac"),
    (0x08987058_cadc_4b81_b6e1_30de50dcbe96, "Windows Hello"),
    (0x9ddd1817_af5a_4672_a2b9_3e3dd95000a9, "Windows Hello"),
    (0x6028b017_b1d4_4c02_b4b3_afcdafc96bb2, "Windows Hello"),
    (0xd3452668_01fd_4c12_926c_83a4204853aa, "Microsoft Password Manager"),
    (0x771b48fd_d3d4_4f74_9232_fc157ab0507a, "Edge on Mac"),
    (0xb93fd961_f2e6_462f_b122_82002247de78, "Android"),
    (0x53414d53_554e_4700_0000_000000000000, "Samsung Pass"),
    (0xbada5566_a7aa_401f_bd96_45619a55120d, "1Password"),
    (0xd548826e_79b4_db40_a3d8_11116f7e8349, "Bitwarden"),
    (0x531126d6_e717_415c_9320_3d9aa6981239, "Dashlane"),
    (0x50726f74_6f6e_5061_7373_50726f746f6e, "Proton Pass"),
    (0xfdb141b2_5d84_443e_8a35_4698c205a502, "KeePassXC"),
    (0xb84e4048_15dc_4dd0_8640_f4f60813c8af, "NordPass"),
    (0x0ea242b4_43c4_4a1b_8b17_dd6d0b6baec6, "Keeper"),
    (0xf3809540_7f14_49c1_a8b3_8f813b225541, "Enpass"),
    (0xd384db22_4d50_ebde_2eac_5765cf1e2a44, "Firefox"),
];

/// Returns the name for a passkey of this make.
pub fn name_of(aaguid: [u8; 16]) -> &'static str {
    let number = u128::from_be_bytes(aaguid);
    let known = MAKERS.iter().find(|(make, _)| *make == number);
    known.map_or("Security key", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_make_is_named_once_and_an_unknown_one_is_a_security_key() {
        for (number, name) in MAKERS {
            assert_eq!(name_of(number.to_be_bytes()), name);
            assert_eq!(MAKERS.iter().filter(|(make, _)| *make == number).count(), 1);
        }
        assert_eq!(name_of([0; 16]), "Security key");
    }
}
