"""The reference numbers of the Jaccard index: scikit-learn's `jaccard_score` on the tables of the other metrics.

Run with numpy and scikit-learn installed; the numbers committed come from scikit-learn 1.9.1.
"""

from sklearn.metrics import jaccard_score

from metric_tables import classification, ties

for table, make in (("generic", classification), ("ties", ties)):
    probs, labels, weights = make()
    top = probs.argmax(1)
    odd, two = labels % 2, (probs[:, :2] + probs[:, 2:]).argmax(1)
    print(table)
    for average in ("macro", "weighted", "micro", "binary"):
        y, p = (odd, two) if average == "binary" else (labels, top)
        scores = [jaccard_score(y, p, average=average, sample_weight=w) for w in (None, weights)]
        print(f"    {average:10} {[float(score) for score in scores]}")
