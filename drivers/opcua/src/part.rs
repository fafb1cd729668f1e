//! The part of a node's value that a tag shows: an element of an array, a field of a structure.

use crate::limits::{FIELD_DEPTH_MAX, INDEX_DIMENSIONS_MAX};
use opcua::types::custom::DynamicStructure;
use opcua::types::{NumericRange, Variant};

/// Which part. The element is taken first: a field of the third structure of an array is `index` 2 and the field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Place of the element, from 0, one number per dimension. Empty for the whole value.
    pub index: Vec<u32>,
    /// Names of fields from the outermost structure inward. Empty for the whole value.
    pub fields: Vec<String>,
}

impl Part {
    /// Reads what a file says: `3` or `2,1` for the element, `Status.Level` for the field.
    ///
    /// # Errors
    /// When it is neither; in words for a person.
    pub fn parse(index: Option<&str>, field: Option<&str>) -> Result<Part, String> {
        let number =
            |text: &str| text.trim().parse().map_err(|_| format!("`{text}` is no place in an array: 0 is the first"));
        let index: Vec<u32> =
            index.map_or_else(|| Ok(Vec::new()), |text| text.split(',').map(number).collect::<Result<_, _>>())?;
        if index.len() > INDEX_DIMENSIONS_MAX {
            return Err(format!("more than {INDEX_DIMENSIONS_MAX} dimensions"));
        }
        let fields: Vec<String> =
            field.map_or_else(Vec::new, |text| text.split('.').map(|f| f.trim().to_owned()).collect());
        if fields.iter().any(String::is_empty) {
            return Err(format!("`{}` has an empty field name: write Outer.Inner", field.unwrap_or_default()));
        }
        if fields.len() > FIELD_DEPTH_MAX {
            return Err(format!("more than {FIELD_DEPTH_MAX} fields deep"));
        }
        Ok(Part { index, fields })
    }

    /// True where the whole value is meant.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.index.is_empty() && self.fields.is_empty()
    }

    /// The element as a server is told of it in a write. Reads ask for the whole array and pick here: servers that take
    /// no index, or take it twice, are common, and then the wrong element would look like the right one.
    pub(crate) fn range(&self) -> NumericRange {
        match self.index.as_slice() {
            [] => NumericRange::None,
            [one] => NumericRange::Index(*one),
            several => NumericRange::MultipleRanges(several.iter().copied().map(NumericRange::Index).collect()),
        }
    }

    /// The part of the whole value.
    ///
    /// # Errors
    /// When there is no such part; in words for a person.
    pub(crate) fn of<'a>(&self, value: &'a Variant) -> Result<&'a Variant, String> {
        let mut at = if self.index.is_empty() { value } else { self.element(value)? };
        for field in &self.fields {
            let Variant::ExtensionObject(object) = at else {
                return Err(format!("there is no field `{field}` in what is no structure"));
            };
            let structure = object.inner_as::<DynamicStructure>().ok_or_else(|| {
                let name = object.type_name().unwrap_or("of an unknown type");
                format!("the structure ({name}) is not described by the server: field `{field}` cannot be found")
            })?;
            at = structure.get_field_by_name(field).ok_or_else(|| format!("the structure has no field `{field}`"))?;
        }
        Ok(at)
    }

    /// The element of an array; in several dimensions the last one runs fastest.
    fn element<'a>(&self, value: &'a Variant) -> Result<&'a Variant, String> {
        let Variant::Array(array) = value else {
            return Err("the node is no array".to_owned());
        };
        let dimensions = match (&array.dimensions, self.index.len()) {
            (Some(sizes), n) if sizes.len() == n => sizes.clone(),
            (_, 1) => vec![u32::try_from(array.values.len()).unwrap_or(u32::MAX)],
            (sizes, n) => {
                let has = sizes.as_ref().map_or(1, Vec::len);
                return Err(format!("the array has {has} dimensions, the index {n}"));
            }
        };
        let mut place = 0_usize;
        for (index, size) in self.index.iter().zip(&dimensions) {
            if index >= size {
                return Err(format!("the array has {size} elements in that dimension; there is no index {index}"));
            }
            place = place.saturating_mul(*size as usize).saturating_add(*index as usize);
        }
        array.values.get(place).ok_or_else(|| "the server sends fewer elements than it says".to_owned())
    }

    /// A value in the shape in which it is written to this part.
    pub(crate) fn shaped(&self, value: Variant) -> Result<Variant, String> {
        if self.index.is_empty() {
            return Ok(value);
        }
        let kind = value.scalar_type_id().ok_or_else(|| "no single value".to_owned())?;
        let ones = vec![1; self.index.len()];
        let array = if self.index.len() == 1 {
            opcua::types::Array::new(kind, vec![value])
        } else {
            opcua::types::Array::new_multi(kind, vec![value], ones)
        };
        array.map(|a| Variant::Array(Box::new(a))).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_people_write_it() {
        let part = |i, f| Part::parse(i, f);
        assert_eq!(part(None, None), Ok(Part::default()));
        assert_eq!(part(Some("3"), None), Ok(Part { index: vec![3], fields: vec![] }));
        assert_eq!(
            part(Some("2, 1"), Some("Status.Level")),
            Ok(Part { index: vec![2, 1], fields: vec!["Status".into(), "Level".into()] })
        );
        assert!(part(Some("-1"), None).unwrap_err().contains("0 is the first"));
        assert!(part(None, Some("Status..Level")).unwrap_err().contains("empty field"));
        assert!(part(Some("1,1,1,1,1,1,1,1,1"), None).unwrap_err().contains("dimensions"));
    }

    #[test]
    fn an_element_is_picked_by_its_place() {
        let part = |index: &[u32]| Part { index: index.to_vec(), fields: vec![] };
        let row = Variant::from(vec![4.0_f64, 5.0, 6.0]);
        assert_eq!(part(&[1]).of(&row), Ok(&Variant::Double(5.0)));
        assert_eq!(part(&[1]).range(), NumericRange::Index(1));
        assert!(part(&[7]).of(&row).unwrap_err().contains("no index 7"));
        assert!(part(&[1, 0]).of(&row).unwrap_err().contains("1 dimensions"));
        assert!(part(&[0]).of(&Variant::Double(5.0)).unwrap_err().contains("no array"));
        let values: Vec<Variant> = (0..6).map(Variant::Int32).collect();
        let kind = opcua::types::VariantScalarTypeId::Int32;
        let matrix = opcua::types::Array::new_multi(kind, values, vec![2_u32, 3]).unwrap();
        let matrix = Variant::Array(Box::new(matrix));
        assert_eq!(part(&[1, 2]).of(&matrix), Ok(&Variant::Int32(5)));
        assert_eq!(part(&[1, 0]).of(&matrix), Ok(&Variant::Int32(3)));
        assert!(part(&[2, 0]).of(&matrix).is_err());
        let deep = Part { index: vec![], fields: vec!["Level".into()] };
        assert!(deep.of(&Variant::Double(1.0)).unwrap_err().contains("`Level`"));
        assert_eq!(part(&[1]).shaped(Variant::Int16(4)).unwrap(), Variant::from(vec![4_i16]));
    }
}
