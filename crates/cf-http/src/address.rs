//! Which addresses an outgoing call may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// What a refusal tells the operator to do.
pub(crate) const SWITCH: &str = "start the server with --allow-private-upstreams \
    (CLOUDFREEDOM_ALLOW_PRIVATE_UPSTREAMS=true) to allow it";

/// Whether an address is of this machine, a private network or otherwise not
/// of the public internet (IANA special-purpose registries).
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_private_v4(v4),
            None => is_private_v6(v6),
        },
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_unspecified()
        || v4.is_broadcast()
        || v4.is_multicast()
        || v4.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT, RFC 6598
        || (a == 192 && b == 0 && c == 0) // IETF protocol assignments
        || (a == 198 && (b == 18 || b == 19)) // benchmarking, RFC 2544
        || a >= 240
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    let first = v6.segments()[0];
    v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_multicast()
        || (first & 0xfe00) == 0xfc00 // unique local, RFC 4193
        || (first & 0xffc0) == 0xfe80 // link-local
        || (first & 0xffc0) == 0xfec0 // site-local, deprecated
        || (first == 0x2001 && v6.segments()[1] == 0x0db8) // documentation
        || (first == 0x2001 && v6.segments()[1] == 0) // Teredo, RFC 4380
        || (first == 0x0064 && v6.segments()[1] == 0xff9b) // local NAT64, RFC 8215
        || (first == 0x0100 && v6.segments()[1..4] == [0, 0, 0]) // discard
}

/// IPv4 in IPv6 clothes: mapped, compatible, translated (RFC 2765), NAT64
/// (RFC 6052), 6to4 (RFC 3056).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let last = Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    if let Some(v4) = v6.to_ipv4_mapped() {
        return Some(v4);
    }
    if s[..6] == [0; 6] && u32::from(last) > 1 {
        return Some(last);
    }
    if s[..6] == [0x64, 0xff9b, 0, 0, 0, 0] || s[..6] == [0, 0, 0, 0, 0xffff, 0] {
        return Some(last);
    }
    (s[0] == 0x2002).then(|| Ipv4Addr::from((u32::from(s[1]) << 16) | u32::from(s[2])))
}

/// Checks an address that an administrator enters: `http` or `https`, a host,
/// no credentials, and not in a private network unless that is allowed. Names
/// are looked at again when they resolve.
pub fn check_address(address: &str, allow_private: bool) -> Result<(), String> {
    let uri: Uri = address
        .parse()
        .map_err(|_| "Enter an address such as https://api.example.com/v1.".to_owned())?;
    let host = match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => host,
        _ => return Err("Enter an address that begins with https:// or http://.".into()),
    };
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err("Enter the address without user name and password.".into());
    }
    if allow_private {
        return Ok(());
    }
    let bare = host.trim_matches(['[', ']']);
    let private = match bare.parse::<IpAddr>() {
        Ok(ip) => is_private(ip),
        Err(_) => {
            let name = bare.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    };
    if private {
        return Err(format!("This address is in a private network; {SWITCH}."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_known_in_every_dress() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::808:808",
            "::ffff:0:127.0.0.1",
            "2001:0:808:808::1",
            "2002:7f00:1::",
            "::127.0.0.1",
            // Metadata services of clouds, however they are written.
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::254",
            "fe80::a9fe:a9fe",
            "100.100.100.200",
            "192.0.0.192",
            "172.31.255.255",
            "198.18.0.1",
            "224.0.0.1",
            "ff02::1",
            "240.0.0.1",
            "fec0::1",
            "2001:db8::1",
        ] {
            assert!(is_private(private.parse().expect(private)), "{private}");
        }
        for public in [
            "1.1.1.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(!is_private(public.parse().expect(public)), "{public}");
        }
    }

    #[test]
    fn addresses_are_checked_when_they_are_entered() {
        assert_eq!(check_address("https://api.example.com/v1", false), Ok(()));
        for refused in [
            "http://127.0.0.1:9300/v1",
            "http://localhost/v1",
            "http://[::1]/v1",
            "http://x.localhost.",
            "http://LOCALHOST:8080/v1",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "https://10.0.0.1:8443/v1",
        ] {
            let sentence = check_address(refused, false).expect_err(refused);
            assert!(sentence.contains("--allow-private-upstreams"), "{sentence}");
            assert_eq!(check_address(refused, true), Ok(()));
        }
        for nonsense in ["", "api.example.com", "ftp://x", "https://user:pw@x", "/v1"] {
            assert!(check_address(nonsense, true).is_err(), "{nonsense}");
        }
    }
}
