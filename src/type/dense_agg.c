/*
 * dense_agg.c: avg of the dense types. (sum needs their addition alone.)
 *
 * The state is a float8 array: the number of values, then their sum in double, one
 * element for each dimension; {0} before the first value. It is pgvector's, so a
 * partial aggregate may meet it across servers.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/float.h"

#include "type/dense.h"

/* A state as the functions see it: sums[0 .. dim - 1]. */
typedef struct AvgState
{
	ArrayType  *array;
	float8	   *count;
	float8	   *sums;
	int			dim;
} AvgState;

static AvgState
view_state(ArrayType *array)
{
	AvgState	state;

	state.array = array;
	state.count = (float8 *) ARR_DATA_PTR(array);
	state.sums = state.count + 1;
	state.dim = ARR_DIMS(array)[0] - 1;
	return state;
}

/* SQL can call these functions with any array. */
static AvgState
get_state(FunctionCallInfo fcinfo, int argument, const DenseType *type, const char *caller)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(argument);

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] < 1 || ARR_HASNULL(array) ||
		ARR_ELEMTYPE(array) != FLOAT8OID)
		elog(ERROR, "%s_%s: expected state array", type->name, caller);
	return view_state(array);
}

static AvgState
make_state(const DenseType *type, int dim)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float8) * (dim + 1);
	ArrayType  *array;

	DenseCheckDim(type, dim, NULL);
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = FLOAT8OID;
	ARR_DIMS(array)[0] = dim + 1;
	ARR_LBOUND(array)[0] = 1;
	return view_state(array);
}

/*
 * Where the result goes: into the running state itself if an aggregate calls, since
 * nobody else sees that (as in float8_accum()), else into a copy.
 */
static AvgState
writable_state(FunctionCallInfo fcinfo, const DenseType *type, AvgState state)
{
	AvgState	copy;

	if (AggCheckCallContext(fcinfo, NULL))
		return state;
	copy = make_state(type, state.dim);
	*copy.count = *state.count;
	memcpy(copy.sums, state.sums, sizeof(float8) * state.dim);
	return copy;
}

/* Separate from the summing loops, so that those become vector instructions. */
static void
check_overflow(AvgState state)
{
	int			overflows = 0;

	for (int i = 0; i < state.dim; i++)
		overflows |= isinf(state.sums[i]) != 0;
	if (unlikely(overflows))
		float_overflow_error();
}

/* The first value is taken as it is: 0 + -0 would be 0. */
static Datum
dense_accum(FunctionCallInfo fcinfo, const DenseType *type)
{
	AvgState	state = get_state(fcinfo, 0, type, "accum");
	Dense	   *value = PG_GETARG_DENSE_P(1);
	const float *x = DenseFloats(type, value);
	AvgState	result;

	if (state.dim == 0)
	{
		result = make_state(type, value->dim);
		for (int i = 0; i < result.dim; i++)
			result.sums[i] = x[i];
	}
	else
	{
		DenseCheckExpectedDim(state.dim, value->dim, NULL);
		result = writable_state(fcinfo, type, state);
		for (int i = 0; i < result.dim; i++)
			result.sums[i] += x[i];
		check_overflow(result);
	}
	*result.count = *state.count + 1;
	PG_RETURN_ARRAYTYPE_P(result.array);
}
DENSE_FUNCTION(accum)

/* It works on states alone, which all types have in common; so have its messages. */
PG_FUNCTION_INFO_V1(rag_vector_combine);
Datum
rag_vector_combine(PG_FUNCTION_ARGS)
{
	AvgState	a = get_state(fcinfo, 0, &VectorDense, "combine");
	AvgState	b = get_state(fcinfo, 1, &VectorDense, "combine");
	AvgState	result;

	/* a worker that met no row has nothing to add, nor a dimension to agree on */
	if (*b.count == 0)
		PG_RETURN_ARRAYTYPE_P(a.array);
	if (*a.count == 0)
		PG_RETURN_ARRAYTYPE_P(b.array);

	DenseCheckDim(&VectorDense, a.dim, NULL);
	DenseCheckExpectedDim(a.dim, b.dim, NULL);
	result = writable_state(fcinfo, &VectorDense, a);
	*result.count += *b.count;
	for (int i = 0; i < result.dim; i++)
		result.sums[i] += b.sums[i];
	check_overflow(result);
	PG_RETURN_ARRAYTYPE_P(result.array);
}

static Datum
dense_avg(FunctionCallInfo fcinfo, const DenseType *type)
{
	AvgState	state = get_state(fcinfo, 0, type, "avg");
	DenseResult result;

	/* SQL defines the average of no values as NULL */
	if (*state.count == 0)
		PG_RETURN_NULL();

	result = DenseResultBegin(type, state.dim);
	for (int i = 0; i < state.dim; i++)
	{
		result.x[i] = (float) (state.sums[i] / *state.count);
		DenseCheckElement(type, result.x[i], NULL);
	}
	PG_RETURN_POINTER(DenseResultEnd(type, &result));
}
DENSE_FUNCTION(avg)
