//! Where the lines of an exchange stand, in few bytes.

use crate::evidence::exchange::Place;

/// Places as bytes: differences from one to the next, seven bits to a byte.
pub(super) fn write_places(places: &[Place]) -> Vec<u8> {
    let mut out = Vec::with_capacity(places.len() * 4);
    let mut last = Place { segment: 0, frame: 0 };
    for place in places {
        let is_same = place.segment == last.segment;
        push_number(&mut out, place.segment.wrapping_sub(last.segment));
        push_number(
            &mut out,
            if is_same { place.frame.wrapping_sub(last.frame) } else { place.frame },
        );
        last = *place;
    }
    out
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The places that bytes tell; what cannot be read is left out.
pub(super) fn read_places(bytes: &[u8]) -> Vec<Place> {
    let mut numbers = Vec::new();
    let (mut number, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        number |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            numbers.push(number);
            (number, shift) = (0, 0);
        }
    }
    let mut last = Place { segment: 0, frame: 0 };
    let (pairs, _) = numbers.as_chunks::<2>();
    let place = |[segment, frame]: &[u64; 2]| {
        let is_same = *segment == 0;
        last = Place {
            segment: last.segment.wrapping_add(*segment),
            frame: if is_same { last.frame.wrapping_add(*frame) } else { *frame },
        };
        last
    };
    pairs.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_are_read_as_they_are_written(
            places in proptest::collection::vec((1_u64..5, any::<u64>()), 0..20)
        ) {
            let places: Vec<Place> =
                places.into_iter().map(|(segment, frame)| Place { segment, frame }).collect();
            prop_assert_eq!(read_places(&write_places(&places)), places);
        }

        #[test]
        fn any_bytes_are_some_places(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            read_places(&bytes);
        }
    }
}
