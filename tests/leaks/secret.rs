//! What is planted, and how a piece of it is known again.

/// Random numbers that a seed gives again.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).unwrap()
    }

    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

/// The kinds of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By a regular expression: `QZX` and 32 letters and digits.
    Expression,
    /// One of [`WORDS`], in letters that occur nowhere else: a single one of them is a leak.
    Word,
    /// A GitHub token, which the pack `secrets` knows.
    Key,
}

/// Texts that a rule names.
pub const WORDS: [&str; 4] = ["ጸሐፈሀገረሰላም", "ቀበሌዘመቻጠረጴዛጆሮ", "ጨረቃ ፀሐይ ሰማይ", "ፖሊስጓደኛውሃ"];

/// A secret.
#[derive(Clone, Debug)]
pub struct Secret {
    pub form: Form,
    pub text: String,
}

/// The shortest piece that cannot be by chance; a longer one by two holds one of every third.
const PIECE: usize = 6;

impl Secret {
    pub fn new(form: Form, dice: &mut Dice) -> Secret {
        let mut letters = |alphabet: &str, count: usize| -> String {
            let alphabet: Vec<char> = alphabet.chars().collect();
            (0..count).map(|_| *dice.pick(&alphabet)).collect()
        };
        let text = match form {
            Form::Expression => {
                format!("QZX{}", letters("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", 32))
            }
            Form::Key => format!(
                "ghp_{}",
                letters("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789", 36)
            ),
            Form::Word => (*dice.pick(&WORDS)).to_owned(),
        };
        Secret { form, text }
    }

    /// A piece of it that is in `text`.
    pub fn piece_in(&self, text: &str) -> Option<String> {
        if self.form == Form::Word {
            let letter = text.chars().find(|letter| matches!(letter, '\u{1200}'..='\u{137f}'))?;
            return Some(letter.to_string());
        }
        // The beginning that tells what it is may stand in a message; the rest is its own.
        let own = if self.form == Form::Key { &self.text[4..] } else { &self.text };
        let pieces = (0..=own.len() - PIECE).step_by(3).map(|at| &own[at..at + PIECE]);
        let mut pieces = pieces;
        pieces.find(|piece| text.contains(*piece)).map(str::to_owned)
    }
}
