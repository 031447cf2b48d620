/*
 * codes.c: values as they are stored and compared.
 *
 * Values of many dimensions are stored as codes (simd/code.h): a head, a byte for each
 * dimension to walk by, another one that makes the distance certain to a small bound, and
 * a hash of the value itself, by which rows are known to have the very same one. All
 * other values are stored as they are.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "hnsw/pages.h"
#include "simd/simd.h"

/* A code saves nothing where the rest of a node is larger than the value. */
#define MIN_CODED_DIMENSIONS 64
#define CODE_SEED UINT64CONST(0x7261672d686e7377)

/* Values of a norm out of this range can make an operator's sums of floats overflow, or
 * lose their last bits, in a cosine; how far its result is off is then unknown. */
#define LARGEST_CERTAIN_NORM 1e15
#define SMALLEST_CERTAIN_NORM 1e-15

/* A space depends on these two only, so a backend keeps the ones that it has met. */
typedef struct CachedSpace
{
	code_metric metric;
	int			dimensions;
	code_space *space;
	struct CachedSpace *next;
} CachedSpace;

static CachedSpace *spaces;

static const code_space *
GetSpace(code_metric metric, int dimensions)
{
	CachedSpace *cached;

	for (cached = spaces; cached != NULL; cached = cached->next)
	{
		if (cached->metric == metric && cached->dimensions == dimensions)
			return cached->space;
	}
	cached = MemoryContextAlloc(TopMemoryContext, sizeof(CachedSpace));
	cached->metric = metric;
	cached->dimensions = dimensions;
	cached->space = code_space_init(MemoryContextAlloc(TopMemoryContext, code_space_size(dimensions)),
									metric, dimensions, NULL, CODE_SEED);
	cached->next = spaces;
	spaces = cached;
	return cached->space;
}

Size
HnswCodeSize(int dimensions)
{
	return code_size(dimensions) + dimensions + sizeof(uint64);
}

Size
HnswFineSize(const HnswSupport *support)
{
	return support->codes == NULL ? 0 : HnswCodeSize(support->dimensions) - code_size(support->dimensions);
}

const code_space *
HnswCodesFor(const HnswSupport *support, code_metric *metric)
{
	if (support->dimensions < MIN_CODED_DIMENSIONS || support->type->metric == NULL ||
		code_size(support->dimensions) + sizeof(uint64) > HNSW_INLINE_ROOM ||
		!support->type->metric(support->distance->fn_addr, metric))
		return NULL;
	return GetSpace(*metric, support->dimensions);
}

/* ---- forming ---- */

static const uint8_t *
CodeOf(const void *value)
{
	return (const uint8_t *) ((const code_head *) value + 1);
}

/* The value scaled to norm 1 where that is what counts; false: it has none. */
static bool
FloatsOf(const HnswSupport *support, Datum plain, float *x, bool *certain)
{
	double		norm;
	double		scale;

	*certain = true;
	support->type->floats(DatumGetPointer(plain), x);
	if (support->norm == NULL)
		return true;
	norm = DatumGetFloat8(FunctionCall1Coll(support->norm, support->collation, plain));
	if (norm == 0)
		return false;
	*certain = norm <= LARGEST_CERTAIN_NORM && norm >= SMALLEST_CERTAIN_NORM;
	scale = 1 / norm;
	for (int i = 0; i < support->dimensions; i++)
		x[i] = (float) (x[i] * scale);
	return true;
}

static bool
FormCode(const HnswSupport *support, Datum plain, HnswForm *form)
{
	int			dimensions = support->dimensions;
	float	   *x = palloc(dimensions * sizeof(float));
	code_head  *head = palloc(HnswCodeSize(dimensions));
	uint8_t    *code = (uint8_t *) (head + 1);
	bool		certain;

	if (!FloatsOf(support, plain, x, &certain))
		return false;
	form->query = code_query_init(palloc(code_query_size(dimensions)), support->codes, x);
	code_encode(form->query, head, code, code + dimensions);
	if (!certain)
		head->error = INFINITY;
	form->value = head;
	form->size = HnswCodeSize(dimensions);
	pfree(x);
	return true;
}

bool
HnswFormQuery(const HnswSupport *support, Datum value, HnswForm *form)
{
	Datum		plain = PointerGetDatum(PG_DETOAST_DATUM(value));

	support->type->check_dimensions(plain, support->dimensions);
	if (support->codes != NULL)
		return FormCode(support, plain, form);
	if (support->norm != NULL)
	{
		/* what has no direction is at no distance from anything */
		if (DatumGetFloat8(FunctionCall1Coll(support->norm, support->collation, plain)) == 0)
			return false;
		plain = support->type->normalize(plain);
	}
	form->value = DatumGetPointer(plain);
	form->size = VARSIZE_ANY(form->value);
	form->query = NULL;
	return true;
}

bool
HnswFormValue(const HnswSupport *support, Datum value, HnswForm *form)
{
	Datum		plain = PointerGetDatum(PG_DETOAST_DATUM(value));

	if (support->type->check_indexed != NULL)
		support->type->check_indexed(plain);
	if (!HnswFormQuery(support, plain, form))
		return false;
	if (support->codes != NULL)
	{
		uint64		hash = hash_bytes_extended((const unsigned char *) DatumGetPointer(plain),
											   VARSIZE_ANY(DatumGetPointer(plain)), 0);

		memcpy((char *) unconstify(void *, form->value) + form->size - sizeof(hash), &hash, sizeof(hash));
	}
	return true;
}

HnswForm
HnswFormStored(const HnswSupport *support, const void *value)
{
	HnswForm	form = {.value = value};

	if (support->codes != NULL)
		form.query = code_query_init_coded(palloc(code_query_size(support->dimensions)), support->codes,
										   value, CodeOf(value));
	return form;
}

bool
HnswIsStored(const HnswSupport *support, const void *value, Size size)
{
	if (support->codes != NULL)
		return size == code_size(support->dimensions);
	return support->type->matches(value, size, support->dimensions);
}

bool
HnswIsSame(const HnswSupport *support, const HnswForm *form, const void *value)
{
	/* a value that is no code says its own size in its header */
	if (support->codes == NULL && VARSIZE(value) != form->size)
		return false;
	return memcmp(value, form->value, form->size - HnswFineSize(support)) == 0;
}

/* ---- comparing ---- */

float
HnswDistance(const HnswSupport *support, const void *a, const void *b)
{
	float		distance;

	if (support->codes != NULL)
		return code_between(support->codes, a, CodeOf(a), b, CodeOf(b));
	if (support->kernel != NULL)
		distance = support->kernel(a, b);
	else
		distance = (float) DatumGetFloat8(FunctionCall2Coll(support->distance, support->collation,
															PointerGetDatum(a), PointerGetDatum(b)));
	return isnan(distance) ? INFINITY : distance;
}

float
HnswMeasure(const HnswSupport *support, const HnswForm *query, const void *value)
{
	if (query == NULL)
		return 0;
	if (query->query != NULL)
		return code_estimate(query->query, value, CodeOf(value));
	return HnswDistance(support, query->value, value);
}

/* ---- in the operator's unit ---- */

/* Of a sum of floats relative to the sum of magnitudes, by any kernel: each lane of eight or
 * more adds up its share, only the portable form has a single sum. */
static double
SumError(int dimensions)
{
	int			steps = simd_current() == SIMD_SCALAR ? dimensions : dimensions / 8 + 8;

	return (steps + 8) * 0x1p-24;
}

/* The norm of a vector, at most. */
static double
Magnitude(const HnswSupport *support, const void *value)
{
	const code_head *head = value;
	const uint8_t *code = CodeOf(value);
	int64		squares = 0;

	for (int i = 0; i < support->dimensions; i++)
		squares += ((int) code[i] - 128) * ((int) code[i] - 128);
	return (double) head->scale * (sqrt((double) squares) + sqrt(support->dimensions)) * 1.001 +
		head->error;
}

static HnswInterval
L2Interval(double nearest, double farthest, int dimensions)
{
	double		error = SumError(dimensions);
	double		smallest = dimensions * 0x1p-148;
	HnswInterval interval = {0, INFINITY};

	nearest = nearest * (1 - error) - smallest;
	farthest = farthest * (1 + error) + smallest;
	if (nearest > 0)
		interval.lower = sqrt(nearest) * (1 - 0x1p-50);
	if (farthest < FLT_MAX)
		interval.upper = sqrt(farthest) * (1 + 0x1p-50);
	return interval;
}

static HnswInterval
ProductInterval(double nearest, double farthest, double magnitude, int dimensions)
{
	double		error = magnitude * SumError(dimensions) + dimensions * 0x1p-148;

	if (!(magnitude < FLT_MAX / 4))
		return (HnswInterval) {-INFINITY, INFINITY};
	return (HnswInterval) {nearest - error, farthest + error};
}

static HnswInterval
CosineInterval(double nearest, double farthest, int dimensions)
{
	/* three sums in a quotient, and two values that were rounded when they were scaled */
	double		error = 2.1 * SumError(dimensions) + 0x1p-21;

	return (HnswInterval) {Max(1 + nearest - error, 0), 1 + farthest + error};
}

HnswInterval
HnswRefine(const HnswSupport *support, const HnswForm *query, const void *value,
		   const void *fine, double *distance)
{
	code_distance refined = code_refine(query->query, value, CodeOf(value), fine);
	double		nearest = refined.distance - refined.bound;
	double		farthest = refined.distance + refined.bound;
	double		lowest = support->norm != NULL || support->metric == CODE_L2 ? 0 : -INFINITY;

	*distance = refined.distance;
	if (!isfinite(refined.bound) || !isfinite(((const code_head *) value)->error) ||
		!isfinite(((const code_head *) query->value)->error))
		return (HnswInterval) {lowest, INFINITY};
	if (support->norm != NULL)
		return CosineInterval(nearest, farthest, support->dimensions);
	if (support->metric == CODE_L2)
		return L2Interval(nearest, farthest, support->dimensions);
	return ProductInterval(nearest, farthest, Magnitude(support, value) * Magnitude(support, query->value),
						   support->dimensions);
}
