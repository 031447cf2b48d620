/*
 * types.c: what the index must know of the type of its values.
 *
 * An operator class names three support functions: the distance, the norm when values
 * are compared by direction only, and a function that returns an HnswTypeInfo.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "hnsw/pages.h"
#include "simd/simd.h"
#include "type/bit_distance.h"
#include "type/halfvec.h"
#include "type/sparsevec.h"
#include "type/vector.h"

#define VECTOR_MAX_INDEXED_DIM 4096
#define HALFVEC_MAX_INDEXED_DIM 8192
#define BIT_MAX_INDEXED_LENGTH 64000
#define SPARSEVEC_MAX_INDEXED_NNZ 1000

StaticAssertDecl(VECTOR_SIZE(VECTOR_MAX_INDEXED_DIM) <= HNSW_MAX_VALUE_SIZE &&
				 HALFVEC_SIZE(HALFVEC_MAX_INDEXED_DIM) <= HNSW_MAX_VALUE_SIZE &&
				 VARBITTOTALLEN(BIT_MAX_INDEXED_LENGTH) <= HNSW_MAX_VALUE_SIZE &&
				 SPARSEVEC_SIZE(SPARSEVEC_MAX_INDEXED_NNZ) <= HNSW_MAX_VALUE_SIZE,
				 "the largest indexed values must fit their pages");

/* ---- vector and halfvec ---- */

static inline bool
DenseMatches(const DenseType *type, const void *bytes, Size size, int dimensions)
{
	const Dense *value = bytes;

	return size == DENSE_SIZE(type, dimensions) && value->dim == dimensions &&
		VARSIZE(value) == size;
}

static void
DenseCopyFloats(const DenseType *type, const void *bytes, float *x)
{
	const Dense *value = bytes;

	if (DenseIsHalf(type))
		simd_get()->f16_to_f32((const uint16 *) value->elements, x, value->dim);
	else
		memcpy(x, value->elements, value->dim * sizeof(float));
}

/* What HnswTypeInfo wants of a dense type: thin, over what is there for both. */
#define DENSE_HNSW_TYPE(Name, name, suffix) \
	extern Datum rag_##name##_l2_squared_distance(PG_FUNCTION_ARGS); \
	extern Datum rag_##name##_negative_inner_product(PG_FUNCTION_ARGS); \
	extern Datum rag_##name##_l1_distance(PG_FUNCTION_ARGS); \
	static float \
	Name##L2Squared(const void *a, const void *b) \
	{ \
		const Name *x = a; \
		const Name *y = b; \
		return simd_get()->l2_squared_##suffix(x->x, y->x, x->dim); \
	} \
	static float \
	Name##NegativeDot(const void *a, const void *b) \
	{ \
		const Name *x = a; \
		const Name *y = b; \
		return -simd_get()->dot_##suffix(x->x, y->x, x->dim); \
	} \
	static float \
	Name##L1(const void *a, const void *b) \
	{ \
		const Name *x = a; \
		const Name *y = b; \
		return simd_get()->l1_##suffix(x->x, y->x, x->dim); \
	} \
	static HnswKernel \
	Name##Kernel(PGFunction distance) \
	{ \
		if (distance == rag_##name##_l2_squared_distance) \
			return Name##L2Squared; \
		if (distance == rag_##name##_negative_inner_product) \
			return Name##NegativeDot; \
		return distance == rag_##name##_l1_distance ? Name##L1 : NULL; \
	} \
	static bool \
	Name##Metric(PGFunction distance, code_metric *metric) \
	{ \
		*metric = distance == rag_##name##_l2_squared_distance ? CODE_L2 : CODE_INNER_PRODUCT; \
		return *metric == CODE_L2 || distance == rag_##name##_negative_inner_product; \
	} \
	static void \
	Name##Floats(const void *value, float *x) \
	{ \
		DenseCopyFloats(&Name##Dense, value, x); \
	} \
	static void \
	Name##CheckDimensions(Datum value, int dimensions) \
	{ \
		DenseCheckSameDim(&Name##Dense, ((const Name *) DatumGetPointer(value))->dim, dimensions); \
	} \
	static bool \
	Name##Matches(const void *value, Size size, int dimensions) \
	{ \
		return DenseMatches(&Name##Dense, value, size, dimensions); \
	} \
	static Datum \
	Name##NormalizeValue(Datum value) \
	{ \
		return PointerGetDatum(DenseL2Normalize(&Name##Dense, (const Dense *) DatumGetPointer(value))); \
	}

DENSE_HNSW_TYPE(Vector, vector, f32)
DENSE_HNSW_TYPE(Halfvec, halfvec, f16)

static const HnswTypeInfo vector_type = {
	.max_dimensions = VECTOR_MAX_INDEXED_DIM,
	.check_dimensions = VectorCheckDimensions,
	.matches = VectorMatches,
	.normalize = VectorNormalizeValue,
	.kernel = VectorKernel,
	.metric = VectorMetric,
	.floats = VectorFloats,
};

PG_FUNCTION_INFO_V1(rag_hnsw_halfvec_support);
Datum
rag_hnsw_halfvec_support(PG_FUNCTION_ARGS)
{
	static const HnswTypeInfo type = {
		.max_dimensions = HALFVEC_MAX_INDEXED_DIM,
		.check_dimensions = HalfvecCheckDimensions,
		.matches = HalfvecMatches,
		.normalize = HalfvecNormalizeValue,
		.kernel = HalfvecKernel,
		.metric = HalfvecMetric,
		.floats = HalfvecFloats,
	};

	PG_RETURN_POINTER(&type);
}

/* ---- bit ---- */

extern Datum rag_hamming_distance(PG_FUNCTION_ARGS);
extern Datum rag_jaccard_distance(PG_FUNCTION_ARGS);

static float
BitHammingKernel(const void *a, const void *b)
{
	return (float) BitHamming(a, b);
}

static float
BitJaccardKernel(const void *a, const void *b)
{
	return (float) BitJaccard(a, b);
}

static HnswKernel
BitKernel(PGFunction distance)
{
	if (distance == rag_hamming_distance)
		return BitHammingKernel;
	return distance == rag_jaccard_distance ? BitJaccardKernel : NULL;
}

static void
BitCheckDimensions(Datum value, int dimensions)
{
	BitCheckSameLength((const VarBit *) DatumGetPointer(value), dimensions);
}

static bool
BitMatches(const void *value, Size size, int dimensions)
{
	const VarBit *bits = value;

	return size == VARBITTOTALLEN(dimensions) && VARBITLEN(bits) == dimensions &&
		VARSIZE(bits) == size;
}

PG_FUNCTION_INFO_V1(rag_hnsw_bit_support);
Datum
rag_hnsw_bit_support(PG_FUNCTION_ARGS)
{
	static const HnswTypeInfo type = {
		.max_dimensions = BIT_MAX_INDEXED_LENGTH,
		.check_dimensions = BitCheckDimensions,
		.matches = BitMatches,
		.kernel = BitKernel,
	};

	PG_RETURN_POINTER(&type);
}

/* ---- sparsevec ---- */

extern Datum rag_sparsevec_l2_squared_distance(PG_FUNCTION_ARGS);
extern Datum rag_sparsevec_negative_inner_product(PG_FUNCTION_ARGS);
extern Datum rag_sparsevec_l1_distance(PG_FUNCTION_ARGS);

static float
SparsevecL2Squared(const void *a, const void *b)
{
	return sparse_l2_squared(SparsevecArray(a), SparsevecArray(b));
}

static float
SparsevecNegativeDot(const void *a, const void *b)
{
	return -sparse_dot(SparsevecArray(a), SparsevecArray(b));
}

static float
SparsevecL1(const void *a, const void *b)
{
	return sparse_l1(SparsevecArray(a), SparsevecArray(b));
}

static HnswKernel
SparsevecKernel(PGFunction distance)
{
	if (distance == rag_sparsevec_l2_squared_distance)
		return SparsevecL2Squared;
	if (distance == rag_sparsevec_negative_inner_product)
		return SparsevecNegativeDot;
	return distance == rag_sparsevec_l1_distance ? SparsevecL1 : NULL;
}

static void
SparsevecCheckDimensions(Datum value, int dimensions)
{
	DenseCheckSameDim(&SparsevecType, ((const Sparsevec *) DatumGetPointer(value))->dim,
					  dimensions);
}

static void
SparsevecCheckIndexed(Datum value)
{
	if (((const Sparsevec *) DatumGetPointer(value))->nnz > SPARSEVEC_MAX_INDEXED_NNZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements for hnsw index",
						SPARSEVEC_MAX_INDEXED_NNZ)));
}

static bool
SparsevecMatches(const void *value, Size size, int dimensions)
{
	const Sparsevec *vector = value;

	return size >= SPARSEVEC_SIZE(0) && vector->dim == dimensions && vector->nnz >= 0 &&
		vector->nnz <= SPARSEVEC_MAX_INDEXED_NNZ && size == SPARSEVEC_SIZE(vector->nnz) &&
		VARSIZE(vector) == size;
}

static Datum
SparsevecNormalizeValue(Datum value)
{
	return PointerGetDatum(SparsevecL2Normalize((const Sparsevec *) DatumGetPointer(value)));
}

PG_FUNCTION_INFO_V1(rag_hnsw_sparsevec_support);
Datum
rag_hnsw_sparsevec_support(PG_FUNCTION_ARGS)
{
	static const HnswTypeInfo type = {
		.max_dimensions = SPARSEVEC_MAX_DIM,
		.check_dimensions = SparsevecCheckDimensions,
		.check_indexed = SparsevecCheckIndexed,
		.matches = SparsevecMatches,
		.normalize = SparsevecNormalizeValue,
		.kernel = SparsevecKernel,
	};

	PG_RETURN_POINTER(&type);
}

/* ---- of every type ---- */

/* Operator classes of vector, as pgvector's, have no function that tells of their type. */
static const HnswTypeInfo *
TypeOfIndex(Relation index, const FmgrInfo *distance)
{
	uint16		number = index->rd_indam->amsupport;

	if (OidIsValid(index_getprocid(index, 1, number)))
		return (const HnswTypeInfo *)
			DatumGetPointer(FunctionCall1(index_getprocinfo(index, 1, number), (Datum) 0));
	if (vector_type.kernel(distance->fn_addr) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class of index \"%s\" lacks support function %u",
						RelationGetRelationName(index), number)));
	return &vector_type;
}

void
HnswInitSupport(HnswSupport *support, Relation index)
{
	int			dimensions = TupleDescAttr(RelationGetDescr(index), 0)->atttypmod;

	support->distance = index_getprocinfo(index, 1, HNSW_DISTANCE_PROC);
	support->type = TypeOfIndex(index, support->distance);
	support->norm = OidIsValid(index_getprocid(index, 1, HNSW_NORM_PROC))
		? index_getprocinfo(index, 1, HNSW_NORM_PROC)
		: NULL;
	support->collation = index->rd_indcollation[0];
	support->kernel = support->type->kernel(support->distance->fn_addr);

	/* bit varying goes for bit, but has no one length */
	if (TupleDescAttr(RelationGetDescr(index), 0)->atttypid == VARBITOID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("type not supported for hnsw index")));
	if (dimensions < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions")));
	if (dimensions > support->type->max_dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for hnsw index",
						support->type->max_dimensions)));
	support->dimensions = dimensions;
	support->codes = HnswCodesFor(support, &support->metric);
}
