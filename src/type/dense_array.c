/*
 * dense_array.c: elements from arrays of numbers, for the casts of all types.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "type/dense.h"

static float
element_to_float(Datum element, Oid type)
{
	switch (type)
	{
		case INT4OID:
			return (float) DatumGetInt32(element);
		case FLOAT4OID:
			return DatumGetFloat4(element);
		case FLOAT8OID:
			/* what is too large becomes infinite, which no dense type takes */
			return (float) DatumGetFloat8(element);
		case NUMERICOID:
			return DatumGetFloat4(DirectFunctionCall1(numeric_float4, element));
	}
	elog(ERROR, "unsupported array element type %u", type);
	return 0;
}

int
ArrayLength(ArrayType *array)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D")));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));
	return ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
}

int
ArrayToFloats(const DenseType *type, ArrayType *array, float **values)
{
	Oid			element_type = ARR_ELEMTYPE(array);
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *elements;
	int			count;

	get_typlenbyvalalign(element_type, &length, &by_value, &align);
	deconstruct_array(array, element_type, length, by_value, align, &elements, NULL, &count);
	*values = palloc(sizeof(float) * count);
	for (int i = 0; i < count; i++)
	{
		(*values)[i] = element_to_float(elements[i], element_type);
		/* before the next one is converted, which may not be possible */
		if (DenseOverflows(type, (*values)[i]))
			DenseCheckElement(type, (*values)[i], NULL);
	}
	pfree(elements);
	return count;
}
